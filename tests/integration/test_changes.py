"""What is launched changes by approval only: asked for by an officer, approved by others with codes that are mailed to
them, done once and recorded; or refused, withdrawn, too late, overtaken."""
import base64
import concurrent.futures
import hashlib
import json
import os
import pty
import re
import select
import signal

import msgpack
import pytest

from agent_fixture import BIN, SLOW, CtlError, as_uid
from judge import spki
from signing import sign, wait_until
from staffing import ALICE, BOB, CAROL, CLIENT_ID, OFFICER, OWN, Office
from wire import AntomError, Caller

pytestmark = pytest.mark.skipif(OWN != 0, reason="as root: staff have uids of their own")
HOOK = "https://pay.example/notify"


@pytest.fixture
def office(tmp_path):
    with Office(tmp_path) as o:
        yield o


@pytest.fixture
def launched(office, antom_key):
    office.live = office.launch(antom_key=antom_key)
    return office


def notify_url(o):
    return o.ctl("profile", "show", o.live)["notify_url"]


def test_launch(office, antom_key):
    live = office.prepare(antom_key=antom_key)
    change = office.opened("app", "launch", "shop", "--skip-rehearsal", "a test", "--accept-file-seal")
    assert office.ctl("profile", "show", live)["launched"] is False
    shown = office.change(change)
    assert shown["state"] == "open" and shown["quorum"] == "1" and shown["needed"] == 1
    assert shown["who"] == [ALICE, BOB] and shown["waits_for"] == "1 more approval"
    assert {"what": "shop/live: launched", "was": "no", "is": "yes"} in shown["alters"]
    assert {"what": "rehearsal in the sandbox", "was": "", "is": "a test"} in shown["alters"]
    assert office.approve(change, ALICE)["state"] == "applied"
    assert office.ctl("profile", "show", live)["launched"] is True
    assert office.ctl("app", "show", "shop")["status"] == "launched"
    (deed,) = office.deeds("app_launch")
    assert deed["change"] == change and deed["uid"] == OFFICER and "rehearsal skipped: a test" in deed["detail"]
    office.agent.refused("LAUNCH", "app", "launch", "shop", "--accept-file-seal", uid=OFFICER)


def test_launch_refused(office, antom_key):
    def no(name, *args, says=""):
        said = office.agent.refused(name, "app", "launch", "shop", *args, uid=OFFICER)
        assert says in said, said

    no("NOT_FOUND", "--accept-file-seal")
    profile = office.agent.make_profile("shop", "live", client_id=CLIENT_ID, key=False)
    no("LAUNCH", says="--accept-file-seal")
    no("LAUNCH", "--accept-file-seal", says="app confirm shop contract")
    office.ctl("app", "confirm", "shop", "contract")
    no("LAUNCH", "--accept-file-seal", says="key generate")
    office.ctl("key", "generate", profile)
    no("LAUNCH", "--accept-file-seal", says="antom-key")
    office.ctl("antom-key", "add", profile, input=spki(antom_key))
    no("LAUNCH", "--accept-file-seal", says="a request signed a response verified a notification verified")
    rest = ("--accept-file-seal", "--skip-rehearsal", "known")
    no("QUORUM", *rest, says="quorum set shop/live")
    office.ctl("quorum", "set", profile, "2")
    office.enrol(CAROL, "approver", verify=False)
    no("QUORUM", *rest, says=f"the mailbox of uid {CAROL} is not verified")
    office.verify(CAROL)
    assert "root is nobody in particular" in office.agent.refused("CHANGE_DENIED", "app", "launch", "shop", *rest)
    office.opened("app", "launch", "shop", *rest)


@pytest.mark.parametrize("quorum", ["0", "3", "17", "none", "-1"])
def test_quorums_refused(office, antom_key, quorum):
    office.prepare(quorum=None, antom_key=antom_key)
    name = "QUORUM" if quorum == "3" else "BAD_PARAM"
    with pytest.raises(AntomError) as caught, Caller(office.agent.staff_sock, OFFICER) as c:
        c.call("quorum_set", profile="shop/live", quorum=quorum)
    assert caught.value.name == name
    office.agent.refused("BAD_PARAM", "quorum", "set", "shop/sandbox", "1")


def test_before_launch_at_once(office, antom_key):
    live = office.prepare(antom_key=antom_key)
    assert office.ctl("profile", "set", live, "--notify-url", HOOK)["notify_url"] == HOOK
    office.ctl("staff", "add", "--uid", CAROL, "--role", "viewer")
    assert office.ctl("change", "list", "--all") == {"changes": []}


def test_one_change_from_end_to_end(launched):
    """Asked, mailed, shown, approved, done, recorded; what is mailed and shown says the same."""
    o = launched
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    assert notify_url(o) == ""
    shown = o.change(change)
    assert shown["alters"] == [{"what": f"{o.live}: notification URL", "was": "", "is": HOOK}]
    assert shown["uid"] == OFFICER and shown["profile"] == o.live and shown["method"] == "profile_set"
    document = base64.b64decode(shown["document"])
    assert hashlib.blake2b(document, digest_size=32).hexdigest() == shown["digest"]
    said = msgpack.unpackb(document)
    assert said["method"] == "profile_set" and said["params"] == {"profile": o.live, "notify_url": HOOK}
    mail = o.mail(ALICE, f"change {change} to {o.live} waits for approval")
    for text in (HOOK, shown["digest"][:16], f"uid {OFFICER}", f"change approve {change}", os.uname().nodename):
        assert text in mail.text.replace("\n", " ") or text in mail.part("html"), text
    assert "Code:" not in mail.text  # none in the opening mail
    assert o.mail(OFFICER, f"change {change}") and not o.mails(OWN)
    assert o.approve(change, ALICE)["state"] == "applied"
    assert notify_url(o) == HOOK
    for uid in (OFFICER, ALICE, BOB):
        assert HOOK in o.mail(uid, f"change {change} to {o.live} is applied").text
    assert [d["what"] for d in o.deeds() if d.get("change") == change] == \
        ["change_open", "change_code", "change_approve", "profile_set"]
    assert o.change(change)["approvals"][0]["uid"] == ALICE
    assert "applied" in o.agent.refused("CHANGE_STATE", "change", "approve", change, uid=BOB)


def staged_antom_key(o, text):
    """Of a launched profile one that is added is staged: it verifies nothing yet."""
    added = o.ctl("antom-key", "add", o.live, input=text, uid=OFFICER)
    assert added["state"] == "staged"
    return added["version"]


def protected(o, antom_key):
    """Every protected setting of a launched profile: a command, what shows its state, before any is altered."""
    other = spki(antom_key)
    return {
        "client id": (("profile", "set", o.live, "--client-id", "5X00000000000009"), ("profile", "show", o.live), None),
        "gateway": (("profile", "set", o.live, "--gateway", "https://open-na-global.alipay.com"), ("profile", "show", o.live), None),
        "notify": (("profile", "set", o.live, "--notify-url", HOOK), ("profile", "show", o.live), None),
        "ages": (("profile", "set", o.live, "--response-max-age-ms", "1000"), ("profile", "show", o.live), None),
        "key": (("key", "activate", o.live, "2"), ("key", "list", o.live), None),
        "key_version": (("key", "set", o.live, "1", "--key-version", "7"), ("key", "list", o.live), None),
        "antom key": (("antom-key", "activate", o.live, staged_antom_key(o, other)), ("antom-key", "list", o.live), None),
        "fence": (("fence", "add", o.live, "--path", "/ams/sandbox/api/v1/x"), ("fence", "list"), None),
        "grant": (("grant", "add", o.live, "--uid", "4711", "--ops", "sign"), ("grant", "list"), None),
        "staff add": (("staff", "add", "--uid", CAROL, "--role", "viewer"), ("staff", "list"), None),
        "staff set": (("staff", "set", "--uid", BOB, "--mail", "bob@elsewhere.example"), ("staff", "list"), None),
        "staff remove": (("staff", "remove", "--uid", CAROL), ("staff", "list"), None),
        "quorum": (("quorum", "set", o.live, "2"), ("profile", "show", o.live), None),
    }


def settled(o, look):
    """What a command shows, without what time alone changes."""
    text = json.dumps(o.ctl(*look))
    return re.sub(r'"(until_ms|waits_for)": ("[^"]*"|\d+)', "", text)


def test_every_protected_setting(launched, antom_key):
    """Each is opened as a change, alters nothing until then, and is done exactly when it is approved."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    o = launched
    o.ctl("key", "generate", o.live)  # staged: nothing signs with it
    assert [k["state"] for k in o.ctl("key", "list", o.live)["keys"]] == ["active", "staged"]
    new_key = rsa.generate_private_key(65537, 2048)
    for name, (command, look, data) in protected(o, new_key).items():
        before = settled(o, look)
        change = o.opened(*command, **({"input": data} if data else {}))
        assert settled(o, look) == before, name
        shown = o.change(change)
        assert shown["alters"], name
        o.agent.refused("EXISTS", *command, uid=OFFICER, **({"input": data} if data else {}))  # the same, again
        assert o.approve(change, ALICE)["state"] == "applied", name
        assert settled(o, look) != before, name


def test_removing_an_application(launched, antom_key):
    """A change of its own, only once its keys are stopped. What was asked for of the old one is not done to a new one of
    the same name, whose versions go on counting."""
    o = launched
    assert "key suspend shop/live 1" in o.agent.refused("KEY_STATE", "app", "remove", "shop", uid=OFFICER)
    stale = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    o.ctl("key", "suspend", o.live, "1", uid=OFFICER)
    removal = o.opened("app", "remove", "shop")
    shown = [(a["what"], a["was"], a["is"]) for a in o.change(removal)["alters"]]
    assert ("shop", "an application", "") in shown
    assert (f"{o.live} key 1: state", "suspended", "destroyed") in shown
    assert o.ctl("app", "show", "shop")["status"] == "launched"
    o.approve(removal, ALICE)
    o.agent.refused("NOT_FOUND", "app", "show", "shop")
    assert o.ctl("grant", "list") == {"grants": []} and o.ctl("antom-key", "list") == {"antom_keys": []}
    o.prepare(antom_key=antom_key)
    assert [k["version"] for k in o.ctl("key", "list", o.live)["keys"]] == [2]
    assert [k["version"] for k in o.ctl("antom-key", "list", o.live)["antom_keys"]] == [2]
    wait_until("it is stale", lambda: o.change(stale)["state"] == "stale")
    o.agent.refused("CHANGE_STATE", "change", "approve", stale, uid=ALICE)
    assert notify_url(o) == ""
    assert sign(o.agent, o.live)["version"] == 2


def test_removing_at_once(office, antom_key):
    """Before launch it is done at once, with all that belongs to it."""
    profile = office.prepare(antom_key=antom_key)
    office.agent.refused("KEY_STATE", "app", "remove", "shop")
    office.ctl("key", "suspend", profile, "1")
    office.agent.refused("NOT_FOUND", "app", "remove", "nothing")
    assert office.ctl("app", "remove", "shop")["app"] == "shop"
    assert office.ctl("app", "list") == {"apps": []}
    office.agent.stop()
    office.agent.start()
    assert office.ctl("app", "list") == {"apps": []}


def test_stops_wait_for_nobody(launched):
    o = launched
    grant = o.ctl("grant", "list", o.live)["grants"][0]["grant"]
    assert o.ctl("grant", "remove", grant, uid=OFFICER)["grant"] == grant
    assert o.ctl("antom-key", "revoke", o.live, "1", uid=OFFICER)["state"] == "revoked"
    assert o.ctl("key", "suspend", o.live, "1", "--reason", "seen", uid=OFFICER)["state"] == "suspended"
    for uid in (OFFICER, ALICE, BOB):
        assert "reason   seen" in o.mail(uid, f"merchant key 1 of {o.live} is suspended").text.replace("  reason", "reason")
        assert o.mail(uid, f"Antom key 1 of {o.live} is revoked")
    change = o.opened("key", "resume", o.live, "1")
    assert o.approve(change, BOB)["state"] == "applied"
    assert o.ctl("key", "show", o.live, "1")["state"] == "active"


def test_sandbox_applies_at_once(launched):
    launched.ctl("profile", "set", "shop/sandbox", "--client-id", "SANDBOX_5Xx", uid=OFFICER)
    launched.ctl("key", "generate", "shop/sandbox", uid=OFFICER)
    assert launched.ctl("change", "list") == {"changes": []}


# ---- who may approve


def test_not_the_requester(tmp_path, antom_key):
    people = {OFFICER: "officer approver", ALICE: "approver", BOB: "approver"}
    with Office(tmp_path, people) as o:
        o.live = o.launch(antom_key=antom_key)
        change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
        assert "others have to" in o.agent.refused("CHANGE_DENIED", "change", "approve", change, uid=OFFICER)
        o.agent.refused("CHANGE_DENIED", "change", "approve", change)  # root
        o.agent.refused("NOT_STAFF", "change", "approve", change, uid=CAROL)
        assert o.approve(change, ALICE)["state"] == "applied"


def test_two_of_three(tmp_path, antom_key):
    people = {OFFICER: "officer", ALICE: "approver", BOB: "approver", CAROL: "approver"}
    with Office(tmp_path, people) as o:
        o.live = o.launch(antom_key=antom_key, quorum="2", approvers=(ALICE, BOB))
        change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
        first = o.approve(change, CAROL)
        assert first["state"] == "open" and first["waits_for"] == "1 more approval" and first["who"] == [ALICE, BOB]
        assert "already" in o.agent.refused("EXISTS", "change", "approve", change, uid=CAROL)
        assert notify_url(o) == ""
        assert o.approve(change, BOB)["state"] == "applied" and notify_url(o) == HOOK


def test_self(tmp_path, antom_key):
    with Office(tmp_path, {OFFICER: "officer", ALICE: "officer approver"}) as o:
        o.live = o.launch(antom_key=antom_key, quorum="self", approvers=(OFFICER,))
        change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
        assert "who asked for it" in o.agent.refused("CHANGE_DENIED", "change", "approve", change, uid=ALICE)
        assert o.change(change)["who"] == [OFFICER]
        assert o.approve(change, OFFICER)["state"] == "applied"
        change = o.opened("staff", "remove", "--uid", OFFICER)
        assert "his own removal" in o.agent.refused("CHANGE_DENIED", "change", "approve", change, uid=OFFICER)


def test_his_own_removal(tmp_path, antom_key):
    people = {OFFICER: "officer", ALICE: "approver", BOB: "approver", CAROL: "approver"}
    with Office(tmp_path, people) as o:
        o.live = o.launch(antom_key=antom_key, quorum="2", approvers=(ALICE, BOB))
        change = o.opened("staff", "remove", "--uid", CAROL)
        assert o.change(change)["who"] == [ALICE, BOB]
        o.agent.refused("CHANGE_DENIED", "change", "approve", change, uid=CAROL)
        waiting = o.opened("profile", "set", o.live, "--notify-url", HOOK)
        assert o.approve(waiting, CAROL)["state"] == "open"
        o.approve(change, ALICE)
        assert o.approve(change, BOB)["state"] == "applied"
        # what he approved before is void, and he comes to no new quorum
        assert o.change(waiting)["approvals"] == [] and o.approve(waiting, ALICE)["state"] == "open"
        assert "could not be met any more" in o.agent.refused("QUORUM", "staff", "remove", "--uid", BOB, uid=OFFICER)
        assert o.approve(waiting, BOB)["state"] == "applied"


def test_root_where_it_is_allowed(tmp_path, antom_key):
    with Office(tmp_path, {ALICE: "approver"}, conf="[staff]\nallow_root = yes\n") as o:
        o.ctl("staff", "set", "--uid", OWN, "--mail", o.mailbox(OWN))
        o.verify(OWN)
        o.live = o.launch(antom_key=antom_key, uid=None)
        change = o.opened("profile", "set", o.live, "--notify-url", HOOK, uid=None)
        assert o.approve(change, ALICE)["state"] == "applied"


# ---- codes


def test_codes(launched):
    o = launched
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    other = o.opened("profile", "set", o.live, "--response-max-age-ms", "1000")
    refused = o.agent.refused
    refused("NOT_FOUND", "change", "approve", change, "--enter", uid=ALICE, input="00000-00000")
    alices, bobs = o.code_for(change, ALICE), o.code_for(change, BOB)
    refused("BUSY", "change", "approve", change, uid=ALICE)
    for wrong in (bobs, o.code_for(other, ALICE), "ZZZZZ-ZZZZZ"):
        refused("CODE_WRONG", "change", "approve", change, "--enter", uid=ALICE, input=wrong)
    refused("BAD_PARAM", "change", "approve", change, "--enter", uid=ALICE, input="12")
    assert notify_url(o) == ""
    for _ in range(2):
        refused("CODE_WRONG", "change", "approve", change, "--enter", uid=ALICE, input="YYYYY-YYYYY")
    refused("CODE_EXPIRED", "change", "approve", change, "--enter", uid=ALICE, input=alices)
    assert o.ctl("change", "approve", change, "--enter", uid=BOB, input=bobs)["state"] == "applied"


def test_digest_binds(launched):
    """What is approved is what was shown."""
    o = launched
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    digest = o.change(change)["digest"]
    code = o.code_for(change, ALICE)
    pinned = ("change", "approve", change, "--enter", "--digest")
    o.agent.refused("BAD_PARAM", *pinned, "0" * 64, uid=ALICE, input=code)
    o.agent.refused("USAGE", *pinned, digest[:15], uid=ALICE, input=code)
    with pytest.raises(AntomError) as caught, Caller(o.agent.staff_sock, ALICE) as c:
        c.call("change_approve", change=change, digest=bytes(32), code=code)
    assert caught.value.name == "BAD_PARAM" and "look at the change again" in str(caught.value)
    assert o.ctl(*pinned, digest[:16], uid=ALICE, input=code)["state"] == "applied"


def test_recovery_codes(launched):
    o = launched
    assert len(set(o.recovery[ALICE])) == 8 and o.recovery[OFFICER] == []
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    by_recovery = ("change", "approve", change, "--recovery")
    o.agent.refused("CODE_WRONG", *by_recovery, uid=BOB, input=o.recovery[ALICE][0])
    o.agent.refused("CHANGE_DENIED", *by_recovery, uid=OFFICER, input=o.recovery[ALICE][0])
    assert o.ctl(*by_recovery, uid=ALICE, input=o.recovery[ALICE][0])["state"] == "applied"
    assert o.change(change)["approvals"][0]["recovery"] is True
    for uid in (OFFICER, ALICE, BOB):  # loud
        assert "7 recovery codes" in o.mail(uid, f"uid {ALICE} used a recovery code").text
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK + "/2")
    o.agent.refused("CODE_WRONG", "change", "approve", change, "--recovery", uid=ALICE, input=o.recovery[ALICE][0])
    for _ in range(4):
        o.agent.refused("CODE_WRONG", "change", "approve", change, "--recovery", uid=ALICE, input="ZZZZZ-ZZZZZ")
    o.agent.refused("CODE_EXPIRED", "change", "approve", change, "--recovery", uid=ALICE, input=o.recovery[ALICE][1])
    old = o.recovery[ALICE]
    o.verify(ALICE, "--again")
    assert not set(old) & set(o.recovery[ALICE])
    o.agent.refused("CODE_WRONG", "change", "approve", change, "--recovery", uid=ALICE, input=old[2])
    assert o.ctl("change", "approve", change, "--recovery", uid=ALICE, input=o.recovery[ALICE][3])["state"] == "applied"


# ---- how changes end


def test_rejected_and_cancelled(launched):
    o = launched
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    o.agent.refused("NOT_STAFF", "change", "reject", change, uid=OFFICER)
    o.agent.refused("NOT_STAFF", "change", "cancel", change, uid=ALICE)
    code = o.code_for(change, BOB)
    assert o.ctl("change", "reject", change, "--reason", "not ours", uid=ALICE)["state"] == "rejected"
    assert "not ours" in o.mail(OFFICER, f"change {change} to {o.live} is rejected").text
    o.agent.refused("CHANGE_STATE", "change", "approve", change, "--enter", uid=BOB, input=code)
    other = o.opened("profile", "set", o.live, "--notify-url", HOOK)  # may be asked for again
    assert o.ctl("change", "cancel", other, uid=OFFICER)["state"] == "cancelled"
    for end in ("reject", "cancel"):
        o.agent.refused("CHANGE_STATE", "change", end, other, uid=ALICE if end == "reject" else OFFICER)
    assert notify_url(o) == "" and o.ctl("change", "list") == {"changes": []}
    assert [c["state"] for c in o.ctl("change", "list", "--all")["changes"]] == ["applied", "rejected", "cancelled"]
    o.agent.refused("NOT_FOUND", "change", "show", 99)


def test_of_two_the_first_wins(launched):
    """Both begin from the same setting: the other is stale at once, and says so."""
    o = launched
    first = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    second = o.opened("profile", "set", o.live, "--notify-url", HOOK + "/other")
    beside = o.opened("profile", "set", o.live, "--response-max-age-ms", "1000")  # another setting of the same profile
    code = o.code_for(second, BOB)
    assert o.approve(first, ALICE)["state"] == "applied"
    wait_until("a stale change", lambda: o.change(second)["state"] == "stale")
    assert o.mail(OFFICER, f"change {second} to {o.live} is stale")
    o.agent.refused("CHANGE_STATE", "change", "approve", second, "--enter", uid=BOB, input=code)
    assert o.approve(beside, BOB)["state"] == "applied" and notify_url(o) == HOOK


def test_overtaken_by_a_stop(launched):
    """What was stopped meanwhile is not what the change began from."""
    o = launched
    o.ctl("key", "generate", o.live, uid=OFFICER)
    change = o.opened("key", "activate", o.live, "2")
    o.ctl("key", "suspend", o.live, "2", uid=OFFICER)
    said = o.agent.refused("KEY_STATE", "change", "approve", change, uid=ALICE)
    assert "suspended" in said
    o.ctl("change", "cancel", change, uid=OFFICER)
    change = o.opened("key", "set", o.live, "1", "--key-version", "5")
    o.ctl("key", "suspend", o.live, "1", uid=OFFICER)
    assert o.approve(change, ALICE)["state"] == "applied"  # of another column


def test_expires(tmp_path, antom_key):
    with Office(tmp_path) as o:
        o.live = o.launch(antom_key=antom_key)
        o.agent.configure("[staff]\nchange_expires_ms = 1500\n")
        o.agent.stop()
        o.agent.start()
        change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
        wait_until("its end", lambda: o.change(change)["state"] == "expired")
        assert o.change(change)["reason"] == "not approved in time"
        for uid in (OFFICER, ALICE):
            assert o.mail(uid, f"change {change} to {o.live} is expired")
        o.agent.refused("CHANGE_STATE", "change", "approve", change, uid=ALICE)
        assert notify_url(o) == ""


def test_requester_who_is_none_any_more(tmp_path, antom_key):
    """What somebody asked for is not done after he lost the right to ask."""
    people = {OFFICER: "officer", CAROL: "officer", ALICE: "approver", BOB: "approver"}
    with Office(tmp_path, people) as o:
        o.live = o.launch(antom_key=antom_key)
        change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
        demote = o.opened("staff", "set", "--uid", OFFICER, "--role", "viewer", uid=CAROL)
        assert o.approve(demote, ALICE)["state"] == "applied"
        ended = o.approve(change, ALICE)
        assert ended["state"] == "failed" and f"uid {OFFICER} is no officer" in ended["reason"]
        assert notify_url(o) == ""
        said = o.agent.refused("QUORUM", "staff", "remove", "--uid", CAROL, uid=CAROL)
        assert "nobody could ask" in said


def test_compromise(launched):
    """The stop is at once and by one; the mark waits; a successor is staged."""
    o = launched
    change = o.opened("key", "compromise", o.live, "1")
    assert [(k["version"], k["state"]) for k in o.ctl("key", "list", o.live)["keys"]] == [(1, "suspended"), (2, "staged")]
    assert o.approve(change, ALICE)["state"] == "applied"
    assert o.ctl("key", "show", o.live, "1")["state"] == "compromised"
    o.agent.refused("KEY_STATE", "key", "resume", o.live, "1", uid=OFFICER)
    change = o.opened("key", "activate", o.live, "2")
    assert o.approve(change, ALICE)["state"] == "applied"
    change = o.opened("key", "destroy", o.live, "1")
    assert o.approve(change, ALICE)["state"] == "applied"
    assert o.ctl("key", "show", o.live, "1")["state"] == "destroyed"


def test_restart_keeps_all(launched):
    o = launched
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    code = o.code_for(change, ALICE)
    o.agent.kill()
    o.agent.start()
    assert o.change(change)["state"] == "open"
    assert o.ctl("change", "approve", change, "--enter", uid=ALICE, input=code)["state"] == "applied"
    o.agent.kill()
    o.agent.start()
    assert notify_url(o) == HOOK and o.change(change)["state"] == "applied"


def test_text(launched):
    """What people see fits, and says what is next."""
    o = launched
    said = o.agent.ctl_raw("profile", "set", o.live, "--notify-url", HOOK, uid=OFFICER)
    text = said.stdout.decode()
    assert said.returncode == 0 and "Nothing was altered yet" in text and f"next: antomctl --home {o.agent.home} change show" in text
    for args in (("change", "list"), ("change", "show", "2")):
        text = o.agent.ctl_raw(*args).stdout.decode()
        assert max(map(len, text.splitlines())) <= 100 and HOOK in text or args[1] == "list", text
    assert json.loads(o.agent.ctl_raw("change", "list", "--json").stdout)["changes"][0]["change"] == 2


def attention(o):
    done = o.agent.ctl_raw("--json", "status")
    found = json.loads(done.stdout)["attention"]
    assert done.returncode == (4 if found else 0)
    return [a["what"] for a in found]


def test_status_says_when_somebody_is_needed(launched):
    """What it lists, its exit status tells a monitor."""
    o = launched
    wait_until("the mails", lambda: attention(o) == [])
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    wait_until("the change", lambda: attention(o) == ["1 change waits for approval"])
    assert o.agent.ctl_raw("status", "--wait", "10").returncode == 0
    text = o.agent.ctl_raw("status").stdout.decode()
    assert f"next: antomctl --home {o.agent.home} change list" in text and max(map(len, text.splitlines())) <= 100
    o.approve(change, ALICE)
    wait_until("nothing", lambda: attention(o) == [])
    o.ctl("key", "suspend", o.live, "1", uid=OFFICER)
    assert any(f"{o.live} is launched and does not sign" in a for a in attention(o))
    o.ctl("lock", uid=OFFICER)
    assert any("the agent is locked" in a for a in attention(o))


def test_older_registry(tmp_path, antom_key):
    """A registry that was put back: nothing live is signed until a change confirms it."""
    with Office(tmp_path) as o:
        o.live = o.launch(antom_key=antom_key)
        o.agent.make_profile("shop", "sandbox")
        o.agent.stop()
        old = {f.name: f.read_bytes() for f in o.agent.home.glob("registry.db*")}
        o.agent.start()
        o.ctl("profile", "set", "shop/sandbox", "--notify-url", HOOK)
        o.agent.stop()
        for f in o.agent.home.glob("registry.db*"):
            f.unlink()
        for name, content in old.items():
            (o.agent.home / name).write_bytes(content)
            (o.agent.home / name).chmod(0o600)
        o.agent.start()
        status = o.ctl("status")
        assert status["record_epoch"] > status["epoch"] and any("older than the record" in a for a in attention(o))
        assert {p["profile"]: p["sign"] for p in status["profiles"]} == {"shop/sandbox": "ready", o.live: "ROLLED_BACK"}
        confirm = ("registry", "confirm", "--record-epoch", status["record_epoch"], "--reason", "a test")
        change = o.opened(*confirm)
        assert "older than the record" in o.change(change)["alters"][0]["what"]
        assert {p["profile"]: p["sign"] for p in o.ctl("status")["profiles"]}[o.live] == "ROLLED_BACK"
        assert o.approve(change, ALICE)["state"] == "applied"
        assert {p["profile"]: p["sign"] for p in o.ctl("status")["profiles"]}[o.live] == "ready"
        assert o.ctl("status").get("record_epoch") is None


def test_reminders(launched):
    """A key that comes to its end: one mail a step to all staff, and a word in the status; it goes on signing."""
    o = launched
    assert o.ctl("profile", "show", o.live)["cryptoperiod_days"] == 365
    for days in ("0", "3651"):
        o.agent.refused("BAD_PARAM", "profile", "set", o.live, "--cryptoperiod", days, uid=OFFICER)
    assert o.approve(o.opened("profile", "set", o.live, "--cryptoperiod", "10"), ALICE)["state"] == "applied"
    for _ in range(2):  # time is looked at from minute to minute, and at the start
        o.agent.stop()
        o.agent.start()
    mail = o.mail(BOB, f"key 1 of {o.live} is due")
    assert f"rotate start {o.live}" in mail.text
    assert o.approve(o.opened("profile", "set", o.live, "--cryptoperiod", "5"), ALICE)["state"] == "applied"
    assert any("its period ends in 4 days" in a for a in attention(o))
    o.agent.stop()
    o.agent.start()
    for uid in (OFFICER, ALICE, BOB):
        assert o.mail(uid, f"key 1 of {o.live} is due", 2)
    assert len(o.mails(BOB, f"key 1 of {o.live} is due")) == 2  # not at every start
    assert o.ctl("key", "show", o.live, "1")["state"] == "active"


def at_once(*calls):
    """What each of them came to."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(c) for c in calls]]


def test_races(launched):
    """Two changes of one setting, and two approvals of one change, at the same moment: exactly one is done, once."""
    o = launched

    def enter(change, uid, code):
        try:
            return o.ctl("change", "approve", change, "--enter", uid=uid, input=code)["state"]
        except CtlError as error:
            return error.name

    for n in range(5):
        first = o.opened("profile", "set", o.live, "--notify-url", f"{HOOK}/{n}/a")
        second = o.opened("profile", "set", o.live, "--notify-url", f"{HOOK}/{n}/b")
        codes = o.code_for(first, ALICE), o.code_for(second, BOB)
        at_once(lambda: enter(first, ALICE, codes[0]), lambda: enter(second, BOB, codes[1]))
        wait_until("both ended", lambda: {o.change(first)["state"], o.change(second)["state"]} == {"applied", "stale"})
        done = first if o.change(first)["state"] == "applied" else second
        assert notify_url(o) == f"{HOOK}/{n}/{'a' if done == first else 'b'}"
        assert [d["change"] for d in o.deeds("profile_set") if "change" in d][-1] == done
    change = o.opened("profile", "set", o.live, "--response-max-age-ms", "1000")
    codes = o.code_for(change, ALICE), o.code_for(change, BOB)
    states = at_once(lambda: enter(change, ALICE, codes[0]), lambda: enter(change, BOB, codes[1]))
    assert "applied" in states and set(states) <= {"applied", "CHANGE_STATE"}
    assert len([d for d in o.deeds("profile_set") if d.get("change") == change]) == 1


def test_a_change_that_waits_for_its_keyring(launched):
    """Approved while the keyring's keeper is held still: it is applied when the keeper is back, and nothing is lost."""
    o = launched
    o.ctl("key", "generate", o.live, uid=OFFICER)
    change = o.opened("key", "activate", o.live, "2")
    code = o.code_for(change, ALICE)
    keeper = o.agent.pid_of("keeper", "soft")
    os.kill(keeper, signal.SIGSTOP)
    try:
        o.agent.ctl_raw("change", "approve", change, "--enter", uid=ALICE, input=code)
        assert o.change(change)["state"] in ("approved", "applied")
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_until("its application", lambda: o.change(change)["state"] == "applied", 60)
    assert o.ctl("key", "show", o.live, "2")["state"] == "active"


def test_on_a_terminal(launched):
    """One command: it shows the change, has the code mailed, and asks for it without showing it."""
    o = launched
    change = o.opened("profile", "set", o.live, "--notify-url", HOOK)
    pid, fd = pty.fork()
    if pid == 0:
        command = [*as_uid(ALICE), str(BIN / "antomctl"), "--home", str(o.agent.home), "change", "approve", str(change)]
        os.execvpe(command[0], command, {**o.agent.env(), "TERM": "xterm"})
    shown, code = b"", None
    try:
        while True:
            if code is None and b"Code from the mail" in shown:
                assert HOOK.encode() in shown  # what is approved stands above the prompt
                code = o.mail(ALICE, f"code for change {change}").code
                os.write(fd, code.encode() + b"\n")
            if not select.select([fd], [], [], 30 * SLOW)[0]:
                raise AssertionError(shown)
            piece = os.read(fd, 4096)
            if not piece:
                break
            shown += piece
    except OSError:  # the terminal's end
        pass
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    assert code.encode() not in shown and b"applied" in shown
    assert notify_url(o) == HOOK
