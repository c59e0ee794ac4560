"""Applications as Antom has them: what may change and what never does, the ids of an isv, the accounts of the sandbox."""
import os

import pytest

from agent_fixture import Agent

OWN = os.getuid()
VIEWER = 10001
CREATE = ["app", "create", "shop", "--role", "merchant", "--region", "SG", "--product", "CASHIER_PAYMENT", "--currency",
          "SGD"]


@pytest.fixture
def agent():
    with Agent() as a:
        a.ctl(*CREATE)
        a.ctl("app", "create", "hub", "--role", "isv", "--region", "SG", "--product", "AUTO_DEBIT", "--currency", "EUR",
              "--dashboard-account", "hub@example.com", "--scenario", "one", "--scenario", "two")
        yield a


def app(agent, name="shop"):
    return agent.ctl("app", "show", name)


def test_set(agent):
    assert app(agent, "hub")["dashboard_account"] == "hub@example.com" and app(agent)["dashboard_account"] == ""
    agent.ctl("app", "set", "shop", "--dashboard-account", "pay@example.com", "--description", "the shop", "--type", "Online",
              "--scenario", "a", "--scenario", "b")
    got = app(agent)
    assert (got["dashboard_account"], got["description"], got["type"], got["scenarios"]) == \
        ("pay@example.com", "the shop", "Online", ["a", "b"])
    agent.ctl("app", "set", "shop", "--scenario", "c")  # what is not given stays
    assert app(agent)["scenarios"] == ["c"] and app(agent)["description"] == "the shop"
    agent.stop()
    agent.start()
    assert app(agent)["dashboard_account"] == "pay@example.com"


@pytest.mark.parametrize("option, value, why", [
    ("--region", "US", "Antom lets nobody change the business region"),
    ("--role", "isv", "the role belongs to the account"),
    ("--product", "OTHER", "one product and one test currency"),
    ("--currency", "USD", "one product and one test currency"),
])
def test_never_changes(agent, option, value, why):
    """The same again is no change; and nothing else of the command is done."""
    before = app(agent)
    message = agent.refused("IMMUTABLE", "app", "set", "shop", "--description", "new", option, value)
    assert why in message and "make another application" in message
    assert app(agent) == before
    same = {"--region": "sg", "--role": "merchant", "--product": "CASHIER_PAYMENT", "--currency": "SGD"}[option]
    assert agent.ctl("app", "set", "shop", "--description", "new", option, same)["description"] == "new"


def test_set_refused(agent):
    agent.refused("NOT_FOUND", "app", "set", "nowhere", "--type", "x")
    assert "nothing to set" in agent.refused("BAD_PARAM", "app", "set", "shop")
    agent.refused("BAD_PARAM", "app", "set", "shop", "--dashboard-account", "no address")
    agent.refused("BAD_PARAM", "app", "set", "shop", "--description", "two\nlines")
    agent.refused("BAD_PARAM", "app", "create", "x", *CREATE[3:], "--dashboard-account", "a@")


def test_status(agent):
    """As the dashboard's list has it: created, testing, configured."""
    assert app(agent)["status"] == "created"
    for env, client_id, status in (("sandbox", "SANDBOX_5X00000000000001", "testing"),
                                   ("live", "5Y00000000000001", "configured")):
        profile = f"shop/{env}"
        agent.ctl("profile", "set", profile, "--client-id", client_id, "--gateway", "https://open-sea-global.alipay.com")
        agent.ctl("key", "generate", profile)
        assert app(agent)["status"] != status
        key = agent.root / f"{env}.pem"
        os.system(f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null | openssl pkey -pubout -out {key}")
        agent.ctl("antom-key", "add", profile, "--file", key)
        assert app(agent)["status"] == status


def test_isv(agent):
    ids = {"isv_client_id": "SANDBOX_5ISV", "isv_customer_id": "2188120041833000", "test_customer_id": "2188120041833001"}
    options = [x for k, v in ids.items() for x in (f"--{k.replace('_', '-')}", v)]
    agent.ctl("profile", "set", "hub/sandbox", *options)
    shown = agent.ctl("profile", "show", "hub/sandbox")
    assert {k: shown[k] for k in ids} == ids
    assert agent.ctl("profile", "show", "hub/live")["isv_client_id"] == ""  # each environment has its own
    assert "2188120041833000" in agent.ctl_raw("profile", "show", "hub/sandbox").stdout.decode()
    assert "isv_client_id" not in agent.ctl("profile", "show", "shop/sandbox")
    message = agent.refused("BAD_PARAM", "profile", "set", "shop/sandbox", "--isv-client-id", "x")
    assert "shop is of the role merchant" in message
    for bad in ("a b", "x" * 65, "ä"):
        agent.refused("BAD_PARAM", "profile", "set", "hub/sandbox", "--test-customer-id", bad)


def test_sandbox(agent):
    assert agent.ctl("sandbox", "show", "shop") == {"profile": "shop/sandbox", "buyer_account": "", "merchant_account": "",
                                                    "has_password": False}
    agent.refused("NOT_FOUND", "sandbox", "password", "shop")
    agent.ctl("sandbox", "set", "shop", "--buyer-account", "buyer@example.com", "--merchant-account", "2188",
              "--password-file", "-", input="s3cret of the buyer\n")
    shown = agent.ctl("sandbox", "show", "shop")
    assert shown == {"profile": "shop/sandbox", "buyer_account": "buyer@example.com", "merchant_account": "2188",
                     "has_password": True}
    assert agent.ctl("sandbox", "password", "shop")["password"] == "s3cret of the buyer"
    agent.ctl("sandbox", "set", "shop", "--merchant-account", "2189")  # what is not given stays
    agent.kill()
    agent.start()
    assert agent.ctl("sandbox", "password", "shop")["password"] == "s3cret of the buyer"
    for path in [*agent.home.glob("registry.db*"), agent.log, *agent.home.glob("audit/*/*")]:
        if path.is_file():
            assert b"s3cret of the buyer" not in path.read_bytes()
    said = [(line["what"], line["detail"]) for line in agent.ctl("audit", "show", "steward")["lines"]
            if line["type"] == "deed"]
    assert ("sandbox_password", f"shown to uid {OWN}") in said
    assert ("sandbox_set", "buyer_account merchant_account password") in said


@pytest.mark.skipif(OWN != 0, reason="as root: another uid asks")
def test_password_is_not_for_viewers(agent):
    agent.ctl("staff", "add", "--uid", VIEWER, "--role", "viewer")
    agent.ctl("sandbox", "set", "shop", "--password-file", "-", input="s3cret\n")
    assert agent.ctl("sandbox", "show", "shop", uid=VIEWER)["has_password"] is True
    agent.refused("NOT_STAFF", "sandbox", "password", "shop", uid=VIEWER)
    agent.refused("NOT_STAFF", "sandbox", "set", "shop", "--buyer-account", "x", uid=VIEWER)
    agent.refused("NOT_STAFF", "app", "set", "shop", "--type", "x", uid=VIEWER)


def test_sandbox_refused(agent):
    agent.refused("NOT_FOUND", "sandbox", "show", "nowhere")
    assert "nothing to set" in agent.refused("BAD_PARAM", "sandbox", "set", "shop")
    agent.refused("BAD_PARAM", "sandbox", "set", "shop", "--buyer-account", "two\nlines")
    agent.refused("BAD_PARAM", "sandbox", "set", "shop", "--password-file", "-", input="x" * 129)
    agent.refused("BAD_PARAM", "sandbox", "set", "shop", "--password-file", "-", input="\n")
    agent.refused("BAD_PARAM", "sandbox", "set", "shop", "--password-file", "/nowhere")
    assert agent.ctl("sandbox", "show", "shop")["has_password"] is False
