"""What was refused stands in the record: counted by caller and reason, once a period, within a budget of its
own, whoever asks how often."""
import contextlib
import os
import signal
import time

from agent_fixture import Agent
from wire import PAY, Caller, connect, request, running, sign_params, wait_for

STRANGER, OTHER = 10001, 10002
VERIFY = {"profile": "shop/sandbox", "method": "POST", "uri": PAY, "headers": {}, "body": b""}


def lines_of(agent):
    return agent.ctl("audit", "show", "steward", "--type", "refused", "--last", 1000)["lines"]


def short(line):
    return {k: line[k] for k in ("at", "uid", "what", "profile", "error", "count", "others") if k in line}


def refusals(c, *requests):
    for i, (method, params) in enumerate(requests):
        c.send_raw(request(i, method, params))
    for _ in requests:
        assert c.recv_message()[2] is not None


def test_kinds():
    """Denied, failed verifies, forms, unknown methods, strangers at staff.sock; at the end all of it is there."""
    with Agent() as a:
        a.make_profile("shop")
        with Caller(a.agent_sock, STRANGER) as c:
            refusals(c, *[("sign_request", sign_params("shop/sandbox"))] * 3,
                     ("sign_request", sign_params("secret/live")), ("verify_response", VERIFY))
        with connect(a.agent_sock) as c:
            refusals(c, ("verify_response", VERIFY), ("sign_request", {**sign_params("shop/sandbox"), "uri": "x"}),
                     ("sign_request", {"no": 1}), ("signs", {}))
            c.send_raw(request(9, "health"))
            assert c.recv_message()[2] is None
        with Caller(a.staff_sock, STRANGER) as c:
            refusals(c, ("status", {}), ("status", {}), ("nothing", {}))
        a.stop()
        got = sorted(map(short, lines_of(a)), key=str)
        want = [
            {"at": "agent.sock", "uid": STRANGER, "what": "sign_request", "profile": "shop/sandbox",
             "error": "DENIED", "count": 3},
            {"at": "agent.sock", "uid": STRANGER, "what": "sign_request", "error": "DENIED", "count": 1},
            {"at": "agent.sock", "uid": STRANGER, "what": "verify_response", "profile": "shop/sandbox",
             "error": "DENIED", "count": 1},
            {"at": "agent.sock", "uid": 0, "what": "verify_response", "profile": "shop/sandbox",
             "error": "NO_ANTOM_KEY", "count": 1},
            {"at": "agent.sock", "uid": 0, "what": "sign_request", "profile": "shop/sandbox",
             "error": "BAD_PARAM", "count": 1},
            {"at": "agent.sock", "uid": 0, "what": "sign_request", "error": "BAD_PARAM", "count": 1},
            {"at": "agent.sock", "uid": 0, "error": "UNKNOWN_METHOD", "count": 1},
            {"at": "staff.sock", "uid": STRANGER, "what": "status", "error": "NOT_STAFF", "count": 2},
            {"at": "staff.sock", "uid": STRANGER, "error": "NOT_STAFF", "count": 1},
        ]
        assert total(got) == total(want)
        assert {key(g) for g in got} == {key(w) for w in want}
        now = time.time() * 1000
        assert all(now - 600000 < line["since_ms"] <= now for line in lines_of(a))
        a.ctl("audit", "verify")


def key(line):
    return tuple(sorted((k, v) for k, v in line.items() if k != "count"))


def total(lines):
    out = {}
    for line in lines:
        out[key(line)] = out.get(key(line), 0) + line["count"]
    return out


def test_shown():
    with running() as a:
        with Caller(a.agent_sock, STRANGER) as c:
            refusals(c, ("sign_request", sign_params("shop/sandbox")))
        found = wait_for(lambda: a.ctl("audit", "show", "steward", "--type", "refused", "--last", 9)["lines"])
        assert short(found[0]) == {"at": "agent.sock", "uid": STRANGER, "what": "sign_request",
                                   "profile": "shop/sandbox", "error": "DENIED", "count": 1}
        text = a.ctl_raw("audit", "show", "steward", "--last", 5).stdout.decode()
        assert str(STRANGER) in text and "sign_request DENIED (agent.sock) x 1" in " ".join(text.split())


def test_flood_fills_nothing():
    """Many kinds, again and again, over many periods: lines are as many as the budget, and no count is lost."""
    with Agent(conf="[audit]\nrefusals_every_ms = 1000\n") as a:
        for i in range(40):
            a.ctl("app", "create", f"app{i}", "--role", "merchant", "--region", "SG", "--product", "Cashier",
                  "--currency", "SGD")
        sent, began = 0, time.monotonic()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Caller(a.agent_sock, uid)) for uid in range(STRANGER, STRANGER + 6)]
            while time.monotonic() - began < 6:
                for c in clients:
                    refusals(c, *[("sign_request", sign_params(f"app{i}/live")) for i in range(40)])
                    sent += 40
        a.stop()
        took = time.monotonic() - began
        lines = lines_of(a)
        assert sum(line.get("count", line.get("others")) for line in lines) == sent
        assert any("others" in line for line in lines)
        # one report a period, and what is left when front and steward end
        assert 32 < len(lines) <= 32 * (took + 2)
        assert len({line["since_ms"] for line in lines}) <= took + 2


def test_period():
    """The first is told at once, what follows a minute later: not within this test, but when the agent ends."""
    with Agent() as a:
        a.make_profile("shop")
        with Caller(a.agent_sock, STRANGER) as c:
            refusals(c, ("sign_request", sign_params("shop/sandbox")))
            wait_for(lambda: lines_of(a))
            for _ in range(20):
                refusals(c, *[("sign_request", sign_params("shop/sandbox"))] * 10)
                time.sleep(0.1)
            assert [line["count"] for line in lines_of(a)] == [1]
        a.stop()
        assert [line["count"] for line in lines_of(a)] == [1, 200]


def test_steward_that_is_away():
    """What it could not be told it is told when it is back."""
    with Agent() as agent:
        agent.make_profile("shop")
        os.kill(agent.pid_of("steward"), signal.SIGKILL)
        with Caller(agent.agent_sock, STRANGER) as c:
            refusals(c, *[("sign_request", sign_params("shop/sandbox"))] * 5)
        wait_for(lambda: sum(line["count"] for line in lines_of(agent)) == 5, 20)


def test_locked_and_unlocked():
    """While it is locked there is no record to write; it is written when it is unlocked."""
    with running() as a:
        a.ctl("lock")
        with Caller(a.agent_sock, STRANGER) as c:
            refusals(c, *[("sign_request", sign_params("shop/sandbox"))] * 4)
        time.sleep(1.5)
        a.ctl("unlock")
        found = wait_for(lambda: [line for line in lines_of(a) if line["error"] == "LOCKED"])
        assert [short(line) for line in found] == [
            {"at": "agent.sock", "uid": STRANGER, "what": "sign_request", "error": "LOCKED", "count": 4}]
