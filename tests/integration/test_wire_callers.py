"""Who calls: uids, gids and supplementary groups as the kernel tells them, and what grants make of them. A
caller without a grant learns nothing, not even which profiles there are."""
import contextlib
import os
import time

import pytest

import judge
from agent_fixture import CtlError
from wire import (PAY, SENT_PAY, SLOW, AntomError, Caller, Neighbour, assert_open, broken_off, connect,
                  frame, refused, running, sign_params)

CLIENT_ID = "SANDBOX_5Xshop"
STRANGER, NOBODY = 10001, 65534


@pytest.fixture(scope="module")
def agent():
    with running() as a:
        a.make_profile("other", uid=20000)
        a.public = judge.load_public(a.ctl("key", "export", "shop/sandbox")["public_key"])
        with Neighbour(a):
            yield a


@contextlib.contextmanager
def granted(agent, *how, profile="shop/sandbox", ops="sign"):
    grant = agent.ctl("grant", "add", profile, "--ops", ops, *map(str, how))
    try:
        yield grant
    finally:
        agent.ctl("grant", "remove", grant["grant"])


def error_of(client, name, /, **params):
    with pytest.raises(AntomError) as caught:
        client.call(name, **params)
    error = caught.value
    return {k: getattr(error, k) for k in ("code", "name", "class_", "message", "field", "retry_after_ms")}


def denied(client, **params):
    error = error_of(client, "sign_request", **{**sign_params("shop/sandbox"), **params})
    assert (error["name"], error["class_"], error["field"]) == ("DENIED", "denied", None), error
    return error


def signs(agent, client, **params):
    params = {**sign_params("shop/sandbox"), **params}
    got = client.call("sign_request", **params)
    judge.judge_request(agent.public, params["method"], got["uri"], CLIENT_ID, got["headers"], params["body"])
    return got


# ---- callers without a grant


@pytest.mark.parametrize("uid", [STRANGER, NOBODY])
def test_no_grant(agent, uid):
    """The same answer, to the letter, for a profile that is there and for one that is not."""
    with Caller(agent.agent_sock, uid) as c:
        assert c.call("hello")["profiles"] == [] and c.call("health")["profiles"] == []
        assert "truncated" not in c.call("hello")
        answers = [denied(c, profile=p) for p in ("shop/sandbox", "shop/live", "other/sandbox", "no/such", "x" * 40)]
        verify = {"profile": "shop/sandbox", "method": "POST", "uri": PAY, "body": b"",
                  "headers": {"signature": "x", "client-id": "x", "response-time": "x"}}
        for method in ("verify_response", "verify_notification"):
            answers += [error_of(c, method, **{**verify, "profile": p}) for p in ("shop/sandbox", "no/such")]
        assert all(a == answers[0] for a in answers), answers
        assert_open(c)


def test_what_differs_is_the_same_for_all(agent):
    """Forms are checked before grants, whoever asks and whatever the profile."""
    with Caller(agent.agent_sock, STRANGER) as c, connect(agent.agent_sock) as own:
        for client in (c, own):
            for profile in ("shop/sandbox", "no/such"):
                error = error_of(client, "sign_request", **sign_params(profile, uri="no path"))
                assert (error["name"], error["field"]) == ("BAD_PARAM", "uri")


@pytest.mark.parametrize("uid", [STRANGER, NOBODY])
def test_bad_input_of_strangers(agent, uid):
    with Caller(agent.agent_sock, uid) as c:
        refused(c, [0, 7, "lock", {}], 7, "UNKNOWN_METHOD", "method")
        refused(c, [0, 7, "health", {"x": 1}], 7, "BAD_PARAM", "x")
        broken_off(c, frame([0, -1, "health", {}]), None, "BAD_FRAME")


def test_nobody_is_granted_nothing(agent):
    """65534 is what the kernel shows for users it cannot map: not by uid, and not by a group it is in."""
    for who in ("--uid", "--gid"):
        with pytest.raises(CtlError) as caught:
            agent.ctl("grant", "add", "shop/sandbox", who, NOBODY, "--ops", "sign")
        assert (caught.value.name, caught.value.error["field"]) == ("BAD_PARAM", who[2:])
    with granted(agent, "--gid", 30007, ops="sign,verify"):
        with Caller(agent.agent_sock, STRANGER, gid=30007) as c:
            signs(agent, c)
        for who in ({"gid": 30007}, {"groups": [30007]}, {"gid": 30007, "groups": [30007, 4]}):
            with Caller(agent.agent_sock, NOBODY, **who) as c, Caller(agent.agent_sock, STRANGER) as stranger:
                assert denied(c) == denied(stranger)
                assert c.call("hello")["profiles"] == []


# ---- callers with one


def test_uid(agent):
    with Caller(agent.agent_sock, STRANGER) as before:
        denied(before)
        with granted(agent, "--uid", STRANGER):
            signs(agent, before)  # holds at once, on connections that are open
            assert before.call("hello")["profiles"] == [{"profile": "shop/sandbox", "ops": ["sign"]}]
            with Caller(agent.agent_sock, STRANGER, gid=4, groups=[5]) as c:
                signs(agent, c)
            with Caller(agent.agent_sock, STRANGER + 1, gid=STRANGER, groups=[STRANGER]) as c:
                denied(c)  # a gid of that number is no uid
        denied(before)
        assert before.call("hello")["profiles"] == []


def test_gid(agent):
    with granted(agent, "--gid", 30001):
        for who in ({"gid": 30001}, {"groups": [30001]}, {"groups": [*range(31000, 31020), 30001]}):
            with Caller(agent.agent_sock, STRANGER, **who) as c:
                signs(agent, c)
        with Caller(agent.agent_sock, 30001, gid=4) as c:
            denied(c)


def test_many_groups(agent):
    """More groups than the kernel keeps in order for us: a connection all the same."""
    with granted(agent, "--gid", 31000):
        with Caller(agent.agent_sock, STRANGER, groups=range(31000, 31200)) as c:
            signs(agent, c)
            assert_open(c)


def test_ops(agent):
    with granted(agent, "--uid", STRANGER, ops="verify"), Caller(agent.agent_sock, STRANGER) as c:
        error = denied(c)
        assert "shop/sandbox" in error["message"]  # known to who has some grant on it
        assert c.call("hello")["profiles"] == [{"profile": "shop/sandbox", "ops": ["verify"]}]
        assert c.call("health")["profiles"][0]["sign"] == "DENIED"
        error = error_of(c, "verify_response", profile="shop/sandbox", method="POST", uri=PAY, body=b"")
        assert error["name"] == "NO_ANTOM_KEY"


def test_profile(agent):
    with granted(agent, "--uid", STRANGER), Caller(agent.agent_sock, STRANGER) as c:
        signs(agent, c)
        assert denied(c, profile="shop/live") == denied(c, profile="no/such") == denied(c, profile="other/sandbox")


PATHS = [
    ("/ams/api/v1/payments/*", ["/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"],
     ["/ams/api/v1/payments/a/b", "/ams/api/v1/refunds/refund", "/ams/api/v1/payments", "/ams/api/v1/paymentsX/pay"]),
    ("/ams/api/v1/payments/**", ["/ams/api/v1/payments/pay", "/ams/api/v1/payments/a/b"], ["/ams/api/v1/refunds/pay"]),
    (PAY, [PAY, SENT_PAY], [PAY + "s", PAY[:-1], PAY + "/"]),
    ("/ams/api/v1/*/inquiry*", ["/ams/api/v1/payments/inquiryPayment"], ["/ams/api/v1/payments/pay"]),
]


@pytest.mark.parametrize("glob, inside, outside", PATHS, ids=[p[0] for p in PATHS])
def test_path(agent, glob, inside, outside):
    with granted(agent, "--uid", STRANGER, "--path", glob), Caller(agent.agent_sock, STRANGER) as c:
        for uri in inside:
            signs(agent, c, uri=uri)
        for uri in outside:
            denied(c, uri=uri)


def test_query(agent):
    query = PAY + "?a=1"
    with Caller(agent.agent_sock, STRANGER) as c:
        with granted(agent, "--uid", STRANGER, "--path", PAY):
            signs(agent, c)
            for uri in (query, PAY + "?"):
                denied(c, uri=uri)
        with granted(agent, "--uid", STRANGER, "--path", PAY, "--query"):
            assert signs(agent, c, uri=query)["uri"] == SENT_PAY + "?a=1"
            denied(c, uri="/ams/api/v1/refunds/refund?" + PAY)


def test_method(agent):
    with Caller(agent.agent_sock, STRANGER) as c:
        with granted(agent, "--uid", STRANGER, "--method", "POST", "--method", "P*CH"):
            signs(agent, c)
            signs(agent, c, method="PATCH")
            for method in ("GET", "POSTX", "PUT"):
                denied(c, method=method)
        with granted(agent, "--uid", STRANGER):
            signs(agent, c, method="GET")


def test_max_body(agent):
    with granted(agent, "--uid", STRANGER, "--max-body", 100), Caller(agent.agent_sock, STRANGER) as c:
        signs(agent, c, body=bytes(100))
        denied(c, body=bytes(101))


def busy(client, method="sign_request", **more):
    error = error_of(client, method, **sign_params("shop/sandbox", **more))
    assert error["name"] == "BUSY" and error["class_"] == "retry"
    return error


def test_rate(agent):
    """Over all threads and connections; the wait that is told is true."""
    with granted(agent, "--uid", STRANGER, "--rate", 2, "--burst", 3) as grant, contextlib.ExitStack() as stack:
        assert (grant["rate"], grant["burst"]) == (2, 3)
        clients = [stack.enter_context(Caller(agent.agent_sock, STRANGER)) for _ in range(4)]
        began = time.monotonic()
        for c in clients[:3]:
            signs(agent, c)
        through = 3
        for c in clients:  # on a machine that is slow some of them have come in again
            try:
                signs(agent, c)
                through += 1
            except AntomError as e:
                assert e.name == "BUSY" and 0 < e.retry_after_ms <= 500
                assert f"grant {grant['grant']} on shop/sandbox lets 2 requests a second through, 3 at once" in str(e)
        assert through <= 3 + 2 * (time.monotonic() - began) + 1
        while True:
            error = None
            try:
                signs(agent, clients[0])
            except AntomError as e:
                error = e
            if error:
                break
        time.sleep(error.retry_after_ms / 1000)
        signs(agent, clients[1])
        denied(clients[0], profile="other/sandbox")  # what is denied is denied, not busy
        with granted(agent, "--uid", STRANGER):  # one more grant has its own
            for _ in range(20):
                signs(agent, clients[2])


def test_rate_of_verifying(agent):
    with granted(agent, "--uid", STRANGER, "--rate", 1, ops="verify"), Caller(agent.agent_sock, STRANGER) as c:
        params = {"profile": "shop/sandbox", "method": "POST", "uri": PAY, "headers": {}, "body": b""}
        first = error_of(c, "verify_response", **params)
        assert first["name"] == "NO_ANTOM_KEY"
        began = time.monotonic()
        names = [error_of(c, "verify_response", **params)["name"] for _ in range(10)]
        assert names.count("NO_ANTOM_KEY") <= time.monotonic() - began + 1 and set(names) <= {"NO_ANTOM_KEY", "BUSY"}


def test_one_grant_must_fit_whole(agent):
    """Two grants do not make a third."""
    with granted(agent, "--uid", STRANGER, "--path", PAY, "--max-body", 10), \
            granted(agent, "--uid", STRANGER, "--path", "/ams/api/v1/refunds/*", "--query"), \
            Caller(agent.agent_sock, STRANGER) as c:
        signs(agent, c, body=bytes(10))
        signs(agent, c, uri="/ams/api/v1/refunds/refund?a=1", body=bytes(11))
        denied(c, body=bytes(11))
        denied(c, uri=PAY + "?a=1", body=b"")


def test_removal_holds_when_it_returns(agent):
    """Under load: behind the answer to `grant remove` nothing is signed."""
    with Caller(agent.agent_sock, STRANGER) as c:
        for _ in range(5):
            with granted(agent, "--uid", STRANGER):
                signs(agent, c)
            denied(c)


# ---- locked


def test_locked():
    """Only hello and health answer, with the reason; the order of errors stays; connections stay."""
    with running() as a:
        with connect(a.agent_sock) as c, Caller(a.agent_sock, STRANGER) as stranger:
            assert c.call("sign_request", **sign_params("shop/sandbox"))["headers"]
            stranger.call("health")
            a.ctl("lock")
            for client in (c, stranger):
                hello, health = client.call("hello"), client.call("health")
                assert hello["state"] == health["state"] == "locked" and hello["profiles"] == []
                assert hello["limits"]["frame"] == 1114112
                texts = set()
                for method, params in (("sign_request", sign_params("shop/sandbox")), ("sign_request", {"wrong": 1}),
                                       ("sign_request", sign_params("no/such")), ("verify_response", {}),
                                       ("verify_notification", {"x": 1})):
                    error = error_of(client, method, **params)
                    assert (error["name"], error["class_"]) == ("LOCKED", "state"), error
                    texts.add(error["message"])
                assert len(texts) == 1 and "unlock" in texts.pop()
                assert error_of(client, "no_such_method")["name"] == "UNKNOWN_METHOD"
                assert error_of(client, "hello", x=1)["name"] == "BAD_PARAM"
                assert error_of(client, "hello", versions=[2])["name"] == "BAD_VERSION"
            with connect(a.agent_sock) as broken:
                broken_off(broken, b"\0\0\0\0", None, "BAD_FRAME")
            with connect(a.agent_sock) as fresh:
                assert fresh.call("health")["state"] == "locked"
            a.ctl("unlock")
            a.ctl("status", "--wait", int(30 * SLOW))
            end = time.monotonic() + 30 * SLOW
            while c.call("health")["state"] != "ready":
                assert time.monotonic() < end
                time.sleep(0.02)
            assert c.call("sign_request", **sign_params("shop/sandbox"))["headers"]
            assert c.call("hello")["profiles"] == [{"profile": "shop/sandbox", "ops": ["sign", "verify"]}]


def test_these_tests_run_as_root():
    """They become other users; without that they would show nothing."""
    assert os.getuid() == 0, "run the wire tests as root"
