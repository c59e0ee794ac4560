"""Who may use antomctl: enrolled by an officer, with staff roles and a mailbox of their own; what is taken away is
gone when the command returns."""
import os

import pytest

from agent_fixture import Agent, CtlError
from wire import AntomError, Caller, connect

ALICE, BOB, CAROL, NOBODY = 10001, 10002, 10003, 65534
OWN = os.getuid()


@pytest.fixture
def agent():
    with Agent() as a:
        yield a


def people(agent):
    return {p["uid"]: (p["roles"], p["mail"]) for p in agent.ctl("staff", "list")["staff"]}


def refused(agent, *args, uid=None):
    with pytest.raises(CtlError) as caught:
        agent.ctl(*args, uid=uid)
    return caught.value.error


def test_first_one(agent):
    """init has enrolled one, with all roles; a mailbox follows."""
    assert people(agent) == {OWN: (["viewer", "officer", "approver"], "")}
    assert agent.ctl("staff", "set", "--uid", OWN, "--mail", "root@example.com")["mail"] == "root@example.com"
    assert people(agent) == {OWN: (["viewer", "officer", "approver"], "root@example.com")}


def test_roles_hold_at_once(agent):
    assert refused(agent, "status", uid=ALICE)["name"] == "NOT_STAFF"
    added = agent.ctl("staff", "add", "--uid", ALICE, "--role", "viewer", "--mail", "alice@example.com")
    assert added == {"uid": ALICE, "roles": ["viewer"], "mail": "alice@example.com", "mail_verified": False}
    assert agent.ctl("status", uid=ALICE)["state"] == "ready"
    error = refused(agent, "app", "create", "x", "--role", "merchant", "--region", "SG", "--product", "P", "--currency",
                    "SGD", uid=ALICE)
    assert error["name"] == "NOT_STAFF" and f"officer, which uid {ALICE} has not" in error["message"]
    assert refused(agent, "staff", "add", "--uid", BOB, "--role", "officer", uid=ALICE)["name"] == "NOT_STAFF"
    agent.ctl("staff", "set", "--uid", ALICE, "--role", "officer")  # an officer looks as well
    agent.ctl("app", "create", "x", "--role", "merchant", "--region", "SG", "--product", "P", "--currency", "SGD",
              uid=ALICE)
    agent.ctl("staff", "set", "--uid", ALICE, "--role", "viewer", "--role", "approver")
    assert people(agent)[ALICE] == (["viewer", "approver"], "alice@example.com")
    assert refused(agent, "lock", uid=ALICE)["name"] == "NOT_STAFF"
    agent.ctl("staff", "remove", "--uid", ALICE)
    assert refused(agent, "status", uid=ALICE)["name"] == "NOT_STAFF" and ALICE not in people(agent)


def test_taken_away_is_gone(agent):
    """Behind the answer nothing is taken any more, on a connection that was made before either; again and again, as a
    race would show now and then only."""
    for _ in range(40):
        agent_call(agent, "staff_add", uid=ALICE, roles=["officer"])
        with Caller(agent.staff_sock, ALICE) as c:
            assert c.call("status")["state"] == "ready"
            assert c.call("staff_remove", uid=ALICE)["uid"] == ALICE  # her own
            with pytest.raises(AntomError) as caught:
                c.call("staff_list")
            assert caught.value.name == "NOT_STAFF"
    assert ALICE not in people(agent)


def agent_call(agent, method, **params):
    with connect(agent.staff_sock) as c:
        return c.call(method, **params)


def test_the_last_officer_stays(agent):
    for args in (("set", "--uid", OWN, "--role", "viewer"), ("remove", "--uid", OWN)):
        error = refused(agent, "staff", *args)
        assert error["name"] == "LAST_OFFICER" and f"uid {OWN} is the only officer" in error["message"]
    agent.ctl("staff", "add", "--uid", ALICE, "--role", "officer")
    agent.ctl("staff", "remove", "--uid", OWN, uid=ALICE)
    assert refused(agent, "status")["name"] == "NOT_STAFF"
    assert refused(agent, "staff", "remove", "--uid", ALICE, uid=ALICE)["name"] == "LAST_OFFICER"
    agent.ctl("staff", "add", "--uid", OWN, "--role", "officer", uid=ALICE)


@pytest.mark.parametrize("args, name, field, says", [
    (["add", "--uid", ALICE, "--role", "viewer"], "EXISTS", "uid", "staff set"),
    (["add", "--uid", NOBODY, "--role", "viewer"], "BAD_PARAM", "uid", "strangers"),
    (["add", "--uid", 4294967295, "--role", "viewer"], "BAD_PARAM", "uid", ""),
    (["add", "--uid", BOB, "--role", "boss"], "BAD_PARAM", "roles", 'no "boss"'),
    (["add", "--uid", BOB, "--role", "approver"], "BAD_PARAM", "mail", "needs a mailbox"),
    (["add", "--uid", BOB, "--role", "viewer", "--mail", "ALICE@example.com"], "EXISTS", "mail", f"uid {ALICE}"),
    (["add", "--uid", BOB, "--role", "viewer", "--mail", "bob"], "BAD_PARAM", "mail", "NAME@HOST"),
    (["add", "--uid", BOB, "--role", "viewer", "--mail", "b@x.com\nBcc: c@x.com"], "BAD_PARAM", "mail", "NAME@HOST"),
    (["set", "--uid", BOB, "--role", "viewer"], "NOT_FOUND", "uid", "staff list"),
    (["set", "--uid", ALICE], "BAD_PARAM", "roles", "mail must be given"),
    (["set", "--uid", ALICE, "--mail", "carol@example.com"], "EXISTS", "mail", f"uid {CAROL}"),
    (["remove", "--uid", BOB], "NOT_FOUND", "uid", "staff list"),
    (["add", "--uid", BOB], "USAGE", None, "--role"),
    (["add", "--role", "viewer"], "USAGE", None, "--uid"),
])
def test_refusals(some, args, name, field, says):
    before = people(some)
    error = refused(some, "staff", *args)
    assert (error["name"], error.get("field")) == (name, field) and says in error["message"], error
    assert people(some) == before


@pytest.fixture(scope="module")
def some():
    with Agent() as a:
        a.ctl("staff", "add", "--uid", ALICE, "--role", "viewer", "--mail", "alice@example.com")
        a.ctl("staff", "add", "--uid", CAROL, "--role", "approver", "--mail", "carol@example.com")
        yield a


def test_recorded_and_kept(agent):
    agent.ctl("staff", "add", "--uid", ALICE, "--role", "approver", "--role", "officer", "--mail", "alice@example.com")
    agent.ctl("staff", "set", "--uid", ALICE, "--mail", "a@example.com")
    agent.ctl("staff", "remove", "--uid", ALICE)
    agent.ctl("staff", "add", "--uid", BOB, "--role", "viewer")
    agent.stop()
    told = [(line["what"], line["uid"], line["detail"]) for line in
            agent.ctl("audit", "show", "steward", "--type", "deed", "--last", 4)["lines"]]
    assert told == [("staff_add", OWN, f"uid {ALICE}: officer approver, alice@example.com"),
                    ("staff_set", OWN, f"uid {ALICE}: officer approver, a@example.com"),
                    ("staff_remove", OWN, f"uid {ALICE}: officer approver, a@example.com"),
                    ("staff_add", OWN, f"uid {BOB}: viewer")]
    agent.start()
    assert people(agent)[BOB] == (["viewer"], "") and ALICE not in people(agent)


def test_shown(some):
    text = some.ctl_raw("staff", "list").stdout.decode()
    head, *rows = text.splitlines()
    assert head.split() == ["UID", "USER", "ROLES", "MAIL", "VERIFIED"] and max(map(len, text.splitlines())) <= 100
    assert rows[0].split()[:2] == [str(OWN), "root"] if OWN == 0 else True
    assert any(row.split() == [str(CAROL), "-", "approver", "carol@example.com", "no"] for row in rows), text
