"""Merchants of an isv: their tokens are sealed, go into Agent-Token of the one request they are asked for, and are shown
to nobody else; what is launched takes and gives tokens by approval only."""
import os
import sqlite3

import pytest

from agent_fixture import Agent
from antom_client import AntomError, Client
from signing import wait_until
from staffing import ALICE, OFFICER, OWN, Office
from staff_wire import memory_file, send
from wire import Caller, connect, frame

PAY = "/ams/api/v1/payments/pay"
TOKEN = "2022091495540562874792960"
CALLER = 10077


def hub(agent, env="sandbox", **more):
    """An isv's application with a profile that can sign."""
    if "hub" not in [a["app"] for a in agent.ctl("app", "list")["apps"]]:
        agent.ctl("app", "create", "hub", "--role", "isv", "--region", "SG", "--product", "P", "--currency", "SGD")
    return agent.make_profile("hub", env, **more)


@pytest.fixture
def agent():
    with Agent() as a:
        hub(a)
        yield a


def sign(agent, merchant=None, profile="hub/sandbox", uid=None):
    client = Client(agent.agent_sock) if uid is None else Caller(agent.agent_sock, uid)
    more = {} if merchant is None else {"merchant": merchant}
    with client as c:
        return c.call("sign_request", profile=profile, method="POST", uri=PAY, body=b"{}", **more)


def denied(agent, name, *args, **more):
    with pytest.raises(AntomError) as caught:
        sign(agent, *args, **more)
    assert caught.value.name == name, caught.value
    return caught.value.message


def test_token_goes_out(agent):
    assert "Agent-Token" not in sign(agent)["headers"]
    added = agent.ctl("merchant", "add", "hub/sandbox", "test", "--description", "the test merchant", input=TOKEN + "\n")
    assert added["state"] == "active" and added["used"] == 0 and TOKEN not in str(added)
    assert sign(agent, "test")["headers"]["Agent-Token"] == TOKEN
    assert "Agent-Token" not in sign(agent)["headers"]  # of the request that asks for it alone
    shown = agent.ctl("merchant", "show", "hub/sandbox", "test")
    assert (shown["used"], shown["description"]) == (1, "the test merchant") and shown["used_ms"] > 0
    assert agent.ctl("merchant", "set", "hub/sandbox", "test", input="another-token")["used"] == 1
    assert sign(agent, "test")["headers"]["Agent-Token"] == "another-token"
    (line,) = [x for x in agent.ctl("audit", "show", "soft", "--last", "1", "--type", "sign")["lines"]]
    assert line["merchant"] == "test"
    said = agent.ctl_raw("explain", "sign", "hub/sandbox", "POST", PAY, "--body", "/dev/null", "--merchant", "test")
    assert b"another-token" not in said.stdout + said.stderr


def test_token_is_nowhere_in_clear(agent):
    agent.ctl("merchant", "add", "hub/sandbox", "test", input=TOKEN)
    sign(agent, "test")
    agent.stop()
    for path in [p for p in agent.home.rglob("*") if p.is_file()] + [agent.log]:
        assert TOKEN.encode() not in path.read_bytes(), path
    agent.start()
    assert sign(agent, "test")["headers"]["Agent-Token"] == TOKEN


@pytest.mark.parametrize("token", ["", "a b", "x" * 257, "ab\r\nX-Other: y", "\u00e9" * 4])
def test_tokens_refused(agent, token):
    said = agent.refused("BAD_PARAM", "merchant", "add", "hub/sandbox", "test", input=token or "\n")
    assert token == "" or token not in said
    assert agent.ctl("merchant", "list", "hub/sandbox")["merchants"] == []


def test_refusals(agent):
    agent.make_profile("shop", "sandbox")
    assert "role merchant" in agent.refused("BAD_PARAM", "merchant", "add", "shop/sandbox", "m", input=TOKEN)
    agent.refused("NOT_FOUND", "merchant", "add", "none/sandbox", "m", input=TOKEN)
    for name in ("a b", "x" * 65, "a/b", "a*"):
        agent.refused("BAD_PARAM", "merchant", "add", "hub/sandbox", name, input=TOKEN)
    agent.refused("NOT_FOUND", "merchant", "set", "hub/sandbox", "m", input=TOKEN)
    agent.ctl("merchant", "add", "hub/sandbox", "m", input=TOKEN)
    agent.refused("EXISTS", "merchant", "add", "hub/sandbox", "m", input=TOKEN)
    assert "merchant add hub/sandbox m2" in denied(agent, "NOT_FOUND", "m2")
    denied(agent, "NOT_FOUND", "m", profile="shop/sandbox")
    denied(agent, "BAD_PARAM", "a b")
    agent.ctl("merchant", "suspend", "hub/sandbox", "m")
    assert "merchant resume hub/sandbox m" in denied(agent, "MERCHANT_SUSPENDED", "m")
    agent.refused("EXISTS", "merchant", "suspend", "hub/sandbox", "m")
    agent.ctl("merchant", "resume", "hub/sandbox", "m")
    sign(agent, "m")
    agent.ctl("merchant", "remove", "hub/sandbox", "m")
    denied(agent, "NOT_FOUND", "m")


def test_sandbox_and_live_are_apart(agent):
    hub(agent, "live")
    agent.ctl("merchant", "add", "hub/live", "m", input="live-token")
    denied(agent, "NOT_FOUND", "m")
    agent.ctl("merchant", "add", "hub/sandbox", "m", input="sandbox-token")
    assert sign(agent, "m")["headers"]["Agent-Token"] == "sandbox-token"
    assert sign(agent, "m", "hub/live")["headers"]["Agent-Token"] == "live-token"


@pytest.mark.skipif(OWN != 0, reason="as root: callers have uids of their own")
def test_grants_name_merchants(agent):
    for name in ("m1", "m2", "eu-1"):
        agent.ctl("merchant", "add", "hub/sandbox", name, input=f"token-of-{name}")
    agent.ctl("grant", "add", "hub/sandbox", "--uid", CALLER, "--ops", "sign", "--merchant", "m1", "--merchant", "eu-*")
    assert sign(agent, "m1", uid=CALLER)["headers"]["Agent-Token"] == "token-of-m1"
    assert sign(agent, "eu-1", uid=CALLER)["headers"]["Agent-Token"] == "token-of-eu-1"
    denied(agent, "DENIED", "m2", uid=CALLER)
    denied(agent, "DENIED", "nobody", uid=CALLER)  # which ones there are is not told either
    denied(agent, "DENIED", uid=CALLER)
    agent.refused("BAD_PARAM", "grant", "add", "hub/sandbox", "--uid", CALLER, "--ops", "sign", "--merchant", "a b")


def test_counts(agent):
    for name in ("a", "b"):
        agent.ctl("merchant", "add", "hub/sandbox", name, input=TOKEN)
    for _ in range(3):
        sign(agent, "a")
    sign(agent, "b")

    def counts():
        return {m["merchant"]: m["used"] for m in agent.ctl("merchant", "list", "hub/sandbox")["merchants"]}
    assert counts() == {"a": 3, "b": 1}
    agent.ctl("merchant", "suspend", "hub/sandbox", "b")  # a new row at the front; nothing is counted twice or lost
    sign(agent, "a")
    assert counts() == {"a": 4, "b": 1}
    os.kill(agent.pid_of("front"), 9)
    wait_until("the front", lambda: agent.ctl("status")["state"] == "ready" and try_sign(agent, "a"), 20)
    assert counts()["a"] >= 5
    agent.stop()
    agent.start()
    assert counts()["b"] == 1 and counts()["a"] >= 5


def try_sign(agent, merchant):
    try:
        return sign(agent, merchant)
    except (AntomError, OSError):
        return None


def test_locked_and_unlocked():
    with Agent(seal="passphrase", passphrase="correct horse") as a:
        a.ctl("unlock", input="correct horse")
        hub(a)
        a.ctl("merchant", "add", "hub/sandbox", "m", input=TOKEN)
        assert sign(a, "m")["headers"]["Agent-Token"] == TOKEN
        a.ctl("lock")
        denied(a, "LOCKED", "m")
        a.ctl("unlock", input="correct horse")
        assert sign(a, "m")["headers"]["Agent-Token"] == TOKEN


def test_moved_token_does_not_open(agent):
    """A sealed token put into another merchant's row by whoever can write the file and forge nothing else."""
    agent.ctl("merchant", "add", "hub/sandbox", "a", input="token-a")
    agent.ctl("merchant", "add", "hub/sandbox", "b", input="token-b")
    agent.stop()
    with sqlite3.connect(agent.home / "registry.db") as db:
        db.execute("UPDATE merchant SET sealed=(SELECT sealed FROM merchant WHERE name='a') WHERE name='b'")
    agent.start(wait=False)
    wait_until("the refusal", lambda: "table merchant, row 2" in agent.log_text(), 20)
    agent.kill()


@pytest.mark.skipif(OWN != 0, reason="as root: staff have uids of their own")
def test_launched(tmp_path, antom_key):
    """Tokens of a launched profile come by approval; a stop does not wait; the URL is given out after the launch."""
    with Office(tmp_path) as o:
        o.ctl("app", "create", "hub", "--role", "isv", "--region", "SG", "--product", "P", "--currency", "SGD")
        url = "https://merchant.antom.example/authorize?id=1"
        assert "not launched" in o.agent.refused("LAUNCH", "merchant", "url", "hub")
        o.live = o.launch("hub", antom_key=antom_key, client_id="5Xhub")
        o.agent.refused("NOT_FOUND", "merchant", "url", "hub")
        o.ctl("app", "set", "hub", "--authorization-url", url)
        assert o.ctl("merchant", "url", "hub")["authorization_url"] == url
        change = o.opened("merchant", "add", o.live, "m1", input="first-token")
        shown = str(o.change(change))
        assert "first-token" not in shown and "a sealed token" in shown
        denied(o.agent, "NOT_FOUND", "m1", o.live)
        o.agent.kill()
        o.agent.start()
        assert o.approve(change, ALICE)["state"] == "applied"
        assert sign(o.agent, "m1", o.live)["headers"]["Agent-Token"] == "first-token"
        change = o.opened("merchant", "set", o.live, "m1", input="second-token")
        assert sign(o.agent, "m1", o.live)["headers"]["Agent-Token"] == "first-token"
        assert o.approve(change, ALICE)["state"] == "applied"
        assert sign(o.agent, "m1", o.live)["headers"]["Agent-Token"] == "second-token"
        assert o.ctl("merchant", "suspend", o.live, "m1", uid=OFFICER)["state"] == "suspended"
        denied(o.agent, "MERCHANT_SUSPENDED", "m1", o.live)
        assert o.approve(o.opened("merchant", "resume", o.live, "m1"), ALICE)["state"] == "applied"
        change = o.opened("merchant", "remove", o.live, "m1")
        before = o.ctl("merchant", "show", o.live, "m1")["used"]
        sign(o.agent, "m1", o.live)
        assert o.ctl("merchant", "show", o.live, "m1")["used"] == before + 1  # a count makes no change stale
        assert o.approve(change, ALICE)["state"] == "applied"
        assert o.ctl("merchant", "list", o.live)["merchants"] == []


def test_many(agent):
    """More rows than one message to the front holds: all of them arrive, at a fresh front too."""
    with connect(agent.staff_sock) as c:
        for n in range(1100):
            fd = memory_file(f"token-{n}".encode())
            send(c, frame([0, n, "merchant_add", {"profile": "hub/sandbox", "merchant": f"M{n}"}]), [fd])
            os.close(fd)
            assert c.recv_message()[2] is None
    agent.stop()
    agent.start()
    for n in (0, 199, 1099):
        assert sign(agent, f"M{n}")["headers"]["Agent-Token"] == f"token-{n}"
    assert len(agent.ctl("merchant", "list", "hub/sandbox")["merchants"]) == 1100  # in two answers
