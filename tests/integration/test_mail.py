"""Mail goes out through a real SMTP server, encrypted and logged in, and is lost by no fault of the server's; mailboxes
are verified by a code that comes back from the person's own account."""
import json
import os
import re
import signal

import pytest

from agent_fixture import Agent
from mailserver import FaultyServer, MailServer, make_certificate
from signing import wait_until
from staffing import mail_by

ALICE, BOB = 10001, 10002
OWN = os.getuid()
pytestmark = pytest.mark.skipif(OWN != 0, reason="as root: staff have uids of their own")


@pytest.fixture(params=["starttls"])
def server(request, tmp_path):
    tmp_path.chmod(0o755)
    with MailServer(tmp_path, security=request.param) as s:
        yield s


@pytest.fixture
def agent(server):
    with Agent() as a:
        mail_by(a, server)
        yield a


def enrol(agent, uid=ALICE, mail="alice@example.com", role="approver"):
    agent.ctl("staff", "add", "--uid", uid, "--role", role, "--mail", mail)


def mails(agent):
    return agent.ctl("mail", "list")["mails"]


def wait_for(condition, seconds=20):
    return wait_until("mail", condition, seconds)


def person(agent, uid=ALICE):
    return next(p for p in agent.ctl("staff", "list")["staff"] if p["uid"] == uid)


def enter(agent, code, uid=ALICE):
    return agent.ctl("staff", "verify", "--enter", uid=uid, input=code)


@pytest.mark.parametrize("server", ["starttls", "tls"], indirect=True)
def test_verified(agent, server):
    enrol(agent)
    assert person(agent)["mail_verified"] is False
    assert agent.ctl("staff", "verify", uid=ALICE) == {"mail": "alice@example.com", "holds_ms": 900000}
    mail = server.wait(1)
    assert mail.to == ["alice@example.com"] and mail.sender == "agent@pay.example"
    assert enter(agent, mail.code)["mail_verified"] is True
    assert person(agent)["mail_verified"] is True
    sent = mails(agent)
    assert [(m["state"], m["to"], m["attempts"], m["error"]) for m in sent] == [("sent", "alice@example.com", 1, "")]
    assert mail.message["message-id"] == f"<{sent[0]['message_id']}>"
    agent.refused("EXISTS", "staff", "verify", uid=ALICE)
    agent.ctl("staff", "set", "--uid", ALICE, "--mail", "alice@elsewhere.example")  # which nobody has verified
    assert person(agent)["mail_verified"] is False
    record = agent.ctl("audit", "show", "steward")["lines"]
    said = [(line["what"], line.get("detail", "")) for line in record if line["type"] == "deed"]
    assert ("mailbox_verify", f"uid {ALICE}: alice@example.com") in said
    assert any(what == "agent.mail_sent" and "to alice@example.com" in detail for what, detail in said)


def test_what_it_says(agent, server):
    """Both parts say the same; lines are short; the code stands in the mail alone, never in log, record or registry."""
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    mail = server.wait(1)
    head = mail.message
    assert head["subject"] == "antom-agent: confirm your mailbox" and head["to"] == "alice@example.com"
    assert head["from"] == "antom-agent <agent@pay.example>" and head["auto-submitted"] == "auto-generated"
    assert head["date"].datetime is not None and head.get_content_type() == "multipart/alternative"
    assert max(map(len, mail.text.splitlines())) <= 76 and mail.text.isascii()
    for part in (mail.text, mail.part("html")):
        assert mail.code in part and "alice@example.com" in part and f"antomctl --home {agent.home} staff verify --enter" in part
        assert str(ALICE) in part and "15 minutes" in part and "record: steward:" in part
    assert all(len(line) <= 78 for line in mail.bytes.decode().split("\r\n"))
    bare = mail.code.replace("-", "")
    wait_for(lambda: mails(agent)[0]["state"] == "sent")
    for path in [*agent.home.glob("registry.db*"), agent.log, *agent.home.glob("audit/*/*")]:
        if path.is_file():
            assert bare.encode() not in path.read_bytes() and mail.code.encode() not in path.read_bytes()


def test_codes_refused(agent, server):
    enrol(agent)
    enrol(agent, BOB, "bob@example.com")
    assert "no code was mailed" in agent.refused("NOT_FOUND", "staff", "verify", "--enter", uid=ALICE,
                                                 input="00000-00000")
    agent.ctl("staff", "verify", uid=ALICE)
    alices = server.wait(1).code
    assert agent.refused("BUSY", "staff", "verify", uid=ALICE)  # not again within a minute
    agent.ctl("staff", "verify", uid=BOB)
    bobs = server.wait(2).code
    for typed in ("", "ABC", alices + "0", "00000-0000U", alices[:-1] + "\x00", "é" * 5):
        agent.refused("BAD_PARAM", "staff", "verify", "--enter", uid=ALICE, input=typed or "\n")
    assert "4 more attempts" in agent.refused("CODE_WRONG", "staff", "verify", "--enter", uid=ALICE, input=bobs)
    for left in (3, 2, 1, 0):
        wrong = "ZZZZZ-ZZZZZ" if alices != "ZZZZZ-ZZZZZ" else "YYYYY-YYYYY"
        assert f"{left} more attempts" in agent.refused("CODE_WRONG", "staff", "verify", "--enter", uid=ALICE,
                                                        input=wrong)
    assert "wrongly 5 times" in agent.refused("CODE_EXPIRED", "staff", "verify", "--enter", uid=ALICE, input=alices)
    assert enter(agent, bobs.lower().replace("-", " "), uid=BOB)["mail_verified"] is True
    agent.refused("NOT_FOUND", "staff", "verify", "--enter", uid=BOB, input=bobs)  # used up
    assert person(agent)["mail_verified"] is False


def test_attempts_survive_a_kill(agent, server):
    """Each attempt is committed before its verdict: a crash gives none back."""
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    code = server.wait(1).code
    for _ in range(5):
        agent.refused("CODE_WRONG", "staff", "verify", "--enter", uid=ALICE, input="00000-00000")
        agent.kill()
        agent.start()
    agent.refused("CODE_EXPIRED", "staff", "verify", "--enter", uid=ALICE, input=code)


def test_of_another_mailbox(agent, server):
    """A code that went to an older address verifies no newer one."""
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    code = server.wait(1).code
    agent.ctl("staff", "set", "--uid", ALICE, "--mail", "mallory@example.com")
    assert "went to alice@example.com" in agent.refused("CODE_EXPIRED", "staff", "verify", "--enter", uid=ALICE,
                                                        input=code)


def test_without(agent):
    agent.ctl("staff", "add", "--uid", ALICE, "--role", "viewer")
    assert "has no mailbox" in agent.refused("NOT_FOUND", "staff", "verify", uid=ALICE)
    agent.refused("NOT_STAFF", "staff", "verify", uid=BOB)
    agent.refused("NOT_STAFF", "mail", "list", uid=BOB)
    assert mails(agent) == []


# ---- servers as they are

def test_later(agent, server):
    """4xx: it is tried again, with the same Message-ID, and comes."""
    server.answers = ["451 come again"]
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    server.wait_tries(1)
    waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] == 1])[0]
    assert waiting["state"] == "queued" and "451" in waiting["error"] and waiting["next_ms"] > waiting["created_ms"]
    mail = server.wait(1, 40)
    assert mail.message["message-id"] == f"<{waiting['message_id']}>"
    assert wait_for(lambda: mails(agent)[0]["state"] == "sent") and mails(agent)[0]["attempts"] == 2


def test_refused_for_good(agent, server):
    server.answers = ["550 no such mailbox"]
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    gone = wait_for(lambda: [m for m in mails(agent) if m["state"] == "refused"])[0]
    assert "550" in gone["error"] and gone["attempts"] == 1
    assert b"agent.mail_refused" in agent.ctl_raw("audit", "show", "steward").stdout


def test_down_and_up(agent, server):
    """A server that is away delays mail; a restart of the agent, and a kill, lose none."""
    server.stop()
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] >= 1])[0]
    assert waiting["state"] == "queued" and str(server.port) in waiting["error"]
    agent.kill()
    agent.start()
    assert [m["message_id"] for m in mails(agent)] == [waiting["message_id"]]
    server.start()
    assert server.wait(1, 60).message["message-id"] == f"<{waiting['message_id']}>"


@pytest.mark.parametrize("wrong, says", [
    ({"password_file": None, "user": None}, "530|authentication|Authentication"),
    ({"ca_file": "/etc/ssl/certs/ca-certificates.crt"}, "certificate|issuer"),
    ({"ca_file": "/nowhere.pem"}, "/nowhere.pem"),
    ({"user": "somebody"}, "535|denied|Login"),
    ({"password_file": "/nowhere"}, "/nowhere cannot be opened"),
    ({"server": "localhost"}, "localhost|certificate|subject"),
])
def test_wrongly_configured(agent, server, wrong, says):
    """The mail waits until the configuration is mended, and goes then."""
    mail_by(agent, server, **wrong)
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] >= 1])[0]
    assert waiting["state"] == "queued" and re.search(says, waiting["error"]), waiting
    assert server.mails == []
    mail_by(agent, server)
    assert server.wait(1, 40).message["message-id"] == f"<{waiting['message_id']}>"


def test_not_configured(tmp_path):
    with Agent() as agent:
        enrol(agent)
        agent.ctl("staff", "verify", uid=ALICE)
        waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] >= 1])[0]
        assert "no mail server is configured" in waiting["error"]
        with MailServer(tmp_path) as server:
            mail_by(agent, server)
            assert enter(agent, server.wait(1, 40).code)["mail_verified"] is True


def test_doctor(tmp_path):
    """What is wrong with mail, and what mends it; nothing when nothing is."""
    with Agent() as agent:
        assert not [c for c in agent.doctor() if c.startswith("mail")]  # nobody needs any
        enrol(agent)
        assert "no mail server is configured" in agent.doctor()["mail"]["message"]
        agent.ctl("staff", "verify", uid=ALICE)
        wait_for(lambda: mails(agent)[0]["attempts"])
        assert "1 mails wait" in agent.doctor()["mail"]["message"] and "SIGHUP" in agent.doctor()["mail"]["remedy"]
        with MailServer(tmp_path) as server:
            server.answers = ["550 no such mailbox"]
            mail_by(agent, server)
            wait_for(lambda: mails(agent)[0]["state"] == "refused")
            assert "mail" not in agent.doctor() and "refused 1 mails" in agent.doctor()["mail_refused"]["message"]


def test_password_file_open_to_others(agent, server):
    enrol(agent)
    (agent.home / "smtp-password").chmod(0o644)
    agent.ctl("staff", "verify", uid=ALICE)
    waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] >= 1])[0]
    assert "can be read by others" in waiting["error"] and server.mails == []


def test_no_encryption_no_mail(tmp_path):
    """A server (or somebody on the way) that offers no STARTTLS gets neither password nor mail."""
    with MailServer(tmp_path, offers_tls=False) as server, Agent() as agent:
        mail_by(agent, server)
        enrol(agent)
        agent.ctl("staff", "verify", uid=ALICE)
        waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] >= 1])[0]
        assert waiting["state"] == "queued" and server.mails == [] and server.tries == 0


@pytest.mark.parametrize("lines, then", [
    ([], "hang"), ([], "end"), ([b"220 hello\r\n"], "hang"), ([b"220 " + b"x" * 200000], "end"),
    ([b"\x00\xff" * 5000], "hang"), ([b"421 go away\r\n"], "end"), ([b"220-a\r\n" * 20000], "hang"),
])
def test_hostile(tmp_path, lines, then):
    """Nothing else stalls, and the mail waits."""
    good = MailServer(tmp_path)
    server = FaultyServer(lines, then)
    try:
        with Agent() as agent:
            good.port, port = server.port, good.port
            mail_by(agent, good, timeout_ms=3000)
            enrol(agent)
            agent.ctl("staff", "verify", uid=ALICE)
            wait_for(lambda: server.accepted)
            assert agent.ctl("status")["state"] == "ready"
            enrol(agent, BOB, "bob@example.com")
            waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] >= 1], 30)[0]
            assert waiting["state"] == "queued" and waiting["error"]
            good.port = port
            with good:
                mail_by(agent, good)
                assert good.wait(1, 60).message["message-id"] == f"<{waiting['message_id']}>"
    finally:
        server.stop()


def test_courier_dies(agent, server):
    """It is started again; what was under way is sent again, under the same Message-ID."""
    server.slow_s = 1.5
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    server.wait_tries(1)
    roles = {r["role"]: r for r in agent.ctl("status")["roles"]}
    os.kill(roles["courier"]["pid"], signal.SIGKILL)
    wait_for(lambda: any(r["role"] == "courier" and r["restarts"] == 1 and r["state"] == "ready"
                         for r in agent.ctl("status")["roles"]))
    server.slow_s = 0
    wait_for(lambda: mails(agent)[0]["state"] == "sent", 60)
    assert len({m.message["message-id"] for m in server.mails}) == 1


def test_resent(agent, server):
    """A new code replaces the old one; a mail with the old one that still waits is dropped."""
    server.stop()
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    agent.stop()
    agent.start()
    agent.refused("BUSY", "staff", "verify", uid=ALICE)  # running time counts, not what a clock says


def test_other_certificate(agent, server, tmp_path):
    """One that is good, but not this server's."""
    other, _ = make_certificate(tmp_path, "other")
    mail_by(agent, server, ca_file=other)
    enrol(agent)
    agent.ctl("staff", "verify", uid=ALICE)
    waiting = wait_for(lambda: [m for m in mails(agent) if m["attempts"] >= 1])[0]
    assert "certificate" in waiting["error"] and server.mails == []
