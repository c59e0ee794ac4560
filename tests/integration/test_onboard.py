"""The way to launch: what is done, what is missing, and the command that does it. Evidence of the rehearsal comes from
what the agent did, not from what somebody says."""
import os
import re

import pytest

from agent_fixture import Agent
import judge
from signing import PAY, wait_until

OWN = os.getuid()
NOTIFY = "/notify"
CLIENT_ID = "SANDBOX_5X00000000000001"


@pytest.fixture
def agent():
    with Agent() as a:
        a.ctl("app", "create", "shop", "--role", "merchant", "--region", "SG", "--product", "CASHIER_PAYMENT", "--currency",
              "SGD")
        yield a


def steps(agent, app="shop"):
    return agent.ctl("onboard", app)["steps"]


def missing(agent, step, app="shop"):
    return [i["what"] for i in steps(agent, app)[step - 1]["items"] if not i["done"]]


def test_steps(agent):
    assert [(s["step"], s["title"], s["done"]) for s in steps(agent)] == [
        (1, "Register at the Developer Center", False), (2, "Choose the role", True), (3, "Create the application", False),
        (4, "Take the sandbox resources", False), (5, "Configure the sandbox", False), (6, "Test in the sandbox", False),
        (7, "Go live and launch", False)]
    agent.ctl("app", "create", "hub", "--role", "isv", "--region", "SG", "--product", "P", "--currency", "EUR")
    assert [s["title"] for s in steps(agent, "hub")][7:] == [
        "Generate the authorization URL", "Have merchants authorize", "Take the merchants' tokens"]
    assert "the ids of the isv and of the test merchant" in missing(agent, 4, "hub")


def run(agent, how, antom_key):
    """The command that a step names, with what stands for a value filled in."""
    command = re.search("`antomctl ([^`]+)`", how).group(1)
    for word, value in (("ADDRESS", "pay@example.com"), ("TEXT", "buyer"), ("ID", CLIENT_ID),
                        ("URL", "https://open-sea-global.alipay.com")):
        command = re.sub(rf"\b{word}\b", value, command)
    return agent.ctl(*command.split(), input=judge.spki(antom_key) if "antom-key" in command else b"s3cret\n")


def test_each_command_does_its_step(agent, antom_key):
    """The commands that are shown, as they are shown, lead to the end of step 5."""
    for _ in range(20):
        todo = [i for s in steps(agent)[:5] for i in s["items"] if not i["done"]]
        if not todo:
            break
        run(agent, todo[0]["how"], antom_key)
    assert [s["done"] for s in steps(agent)[:5]] == [True] * 5
    text = agent.ctl_raw("onboard", "shop").stdout.decode()
    assert "5 of 7 steps are done." in text and max(map(len, text.splitlines())) <= 100


def test_rehearsal(agent, antom_key):
    """Each of the three methods counts once it has succeeded, in this environment; a failure and an explain do not."""
    agent.ctl("profile", "set", "shop/sandbox", "--client-id", CLIENT_ID)
    agent.ctl("key", "generate", "shop/sandbox")
    agent.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(antom_key))
    agent.ctl("grant", "add", "shop/sandbox", "--uid", OWN, "--ops", "sign,verify,explain")
    tests = ["a request that was signed", "a response that verified", "a notification that verified"]

    def left():
        return [w for w in missing(agent, 6) if w in tests]

    answer = judge.response(antom_key, "/ams/sandbox/api/v1/payments/pay", CLIENT_ID, b"{}")
    args = [x for k, v in answer.items() for x in ("--header", f"{k}: {v}")]
    agent.refused("UNSIGNED", "verify", "response", "shop/sandbox", "POST", PAY, "--body", "-", input=b"{}")
    agent.ctl("explain", "sign", "shop/sandbox", "POST", PAY, "--body", "-", input=b"{}")
    assert left() == tests
    agent.ctl("sign", "shop/sandbox", "POST", PAY, "--body", "-", input=b"{}")
    wait_until("evidence", lambda: left() == tests[1:])
    agent.ctl("verify", "response", "shop/sandbox", "POST", PAY, *args, "--body", "-", input=b"{}")
    wait_until("evidence", lambda: left() == tests[2:])
    agent.kill()
    agent.start()
    assert left() == tests[2:]
    note = judge.response(antom_key, NOTIFY, CLIENT_ID, b"{}", kind="notification")
    args = [x for k, v in note.items() for x in ("--header", f"{k}: {v}")]
    agent.ctl("verify", "notification", "shop/sandbox", "POST", NOTIFY, *args, "--body", "-", input=b"{}")
    wait_until("evidence", lambda: left() == [])
    agent.ctl("sign", "shop/sandbox", "POST", PAY, "--body", "-", input=b"{}")  # once is enough
    said = [line["detail"] for line in agent.ctl("audit", "show", "steward")["lines"]
            if line["type"] == "deed" and line["what"] == "agent.proved"]
    assert said == ["for the first time: sign_request", "for the first time: verify_response",
                    "for the first time: verify_notification"]
    assert missing(agent, 6) == ["reconciliation files that were read", "Antom's acceptance"]


def test_confirmed(agent):
    """What only people know, they say; once, by name, and it stands in the record."""
    for what, step in (("reconciliation", 6), ("acceptance", 6), ("contract", 7)):
        before = missing(agent, step)
        agent.ctl("app", "confirm", "shop", what)
        assert len(missing(agent, step)) == len(before) - 1
        agent.refused("EXISTS", "app", "confirm", "shop", what)
    agent.refused("BAD_PARAM", "app", "confirm", "shop", "everything")
    agent.refused("NOT_FOUND", "app", "confirm", "nowhere", "contract")
    agent.refused("NOT_FOUND", "onboard", "nowhere")
    said = [(line["what"], line["subject"], line["detail"]) for line in agent.ctl("audit", "show", "steward")["lines"]
            if line["type"] == "deed"]
    assert ("onboard_confirm", "shop", "contract") in said
