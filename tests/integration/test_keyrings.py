"""What is particular to private keys in a PKCS#11 token (SoftHSM 2): tokens that go, come or are others, PINs, modules that are
broken. The rules that all keyrings share stand in test_keyring_rules.py."""
import re
import time

import pytest

import judge
from agent_fixture import BIN, SLOW, Agent, CtlError
from antom_client import Client
from devices import only_its_own_wait
from signing import PAY, SANDBOX, judged, refusal, sign, try_to_sign, wait_until
from softhsm import Token

CLIENT_ID = "SANDBOX_5Xhsm"
LIVE, LIVE_ID = "shop/live", "5Xlivehsm"


@pytest.fixture
def token(tmp_path):
    return Token(tmp_path)


@pytest.fixture
def agent(token):
    with Agent(conf=token.conf()) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        yield a


def test_token_that_goes_and_comes(agent, token):
    """Without it its keys answer BACKEND and others sign; it is found again without a restart."""
    agent.make_profile("beside", "sandbox")
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    judged(agent, SANDBOX, CLIENT_ID)
    token.take_away()
    agent.stop()
    agent.start()
    assert refusal(agent, SANDBOX).name == "BACKEND"
    assert "no token fits" in agent.doctor()["keyring_hsm1"]["message"]
    sign(agent, "beside/sandbox")
    token.bring_back()
    wait_until("it signs again", lambda: try_to_sign(agent), 5)
    assert "keyring_hsm1" not in agent.doctor()
    judged(agent, SANDBOX, CLIENT_ID)


def test_destroyed_while_the_token_is_away(agent, token):
    """It is destroyed there as soon as the token is back."""
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    agent.ctl("key", "suspend", SANDBOX, 1)
    agent.ctl("key", "compromise", SANDBOX, 1)
    token.take_away()
    agent.stop()
    agent.start()
    agent.ctl("key", "destroy", SANDBOX, 1)
    token.bring_back()
    agent.ctl("profile", "set", SANDBOX, "--notify-url", "https://pay.example/n")  # anything that moves the agent
    wait_until("its objects are gone", lambda: token.objects() == 0)


def test_a_token_with_other_keys(agent, token):
    """One of the same label that was initialised anew holds none of ours: nothing is signed by it."""
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    agent.stop()
    token.take_away()
    token.initialise()
    agent.start()
    assert refusal(agent, SANDBOX).name in ("BACKEND", "NO_ACTIVE_KEY")


def test_wrong_pin_is_tried_once(token):
    token.write_pin("9999")
    with Agent(conf=token.conf()) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        for _ in range(3):
            said = a.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "hsm1")
            assert "PIN" in said
        assert "PIN" in a.doctor()["keyring_hsm1"]["message"]
        assert "final try" not in token.util("--show-slots").lower()
        a.make_profile("beside", "sandbox")
        sign(a, "beside/sandbox")


@pytest.mark.parametrize("change,says", [
    ({"module": "/nowhere/module.so"}, "No such file"), ({"module": "/etc/passwd"}, "module = /etc/passwd"),
    ({"token": "pkcs11:token=another"}, "no token fits"), ({"token": "pkcs11:foo"}, "URI"),
    ({"pin_file": "/nowhere/pin"}, "pin_file")])
def test_wrong_configuration(token, change, says):
    """Named in the log; everything else works."""
    with Agent(conf=token.conf(**change)) as a:
        a.make_profile("beside", "sandbox")
        sign(a, "beside/sandbox")
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "hsm1")
        wait_until("the log says why", lambda: says in a.log_text())
        wait_until("doctor says why", lambda: says in a.doctor()["keyring_hsm1"]["message"])
        assert "keyring_soft" not in a.doctor()


def test_module_that_others_can_write(token, tmp_path):
    module = tmp_path / "module.so"
    module.write_bytes(b"")
    module.chmod(0o666)
    with Agent(conf=token.conf(module=module)) as a:
        wait_until("the log says why", lambda: "can be written by others" in a.log_text())


def test_an_empty_pin_is_not_tried(token):
    token.write_pin("")
    with Agent(conf=token.conf()) as a:
        wait_until("the log says why", lambda: "not empty" in a.log_text())


def test_pin_file_that_others_can_read(token):
    token.pin_file.chmod(0o644)
    with Agent(conf=token.conf()) as a:
        wait_until("the log says why", lambda: "mode must be 0600" in a.log_text())


def test_pin_of_the_service_manager(token, tmp_path, monkeypatch):
    """In place of a file; where it is not passed, that is said."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    token.pin_file.rename(folder / "hsm1.pin")
    conf = token.conf(pin_credential="hsm1.pin").replace(f"pin_file = {token.pin_file}\n", "")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    with Agent(conf=conf) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
        judged(a, SANDBOX, CLIENT_ID)
        a.stop()
        monkeypatch.delenv("CREDENTIALS_DIRECTORY")
        a.start()
        assert refusal(a, SANDBOX).name == "BACKEND"
        assert "LoadCredentialEncrypted=hsm1.pin" in a.doctor()["keyring_hsm1"]["message"]


# ---- a module that is broken



@pytest.fixture
def faulty(token):
    """A key in a token whose module has faults, and another profile beside it in `soft`."""
    with Agent(conf=token.conf(module=BIN / "antag-faultp11.so")) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
        a.make_profile("beside", "sandbox")
        judged(a, SANDBOX, CLIENT_ID)
        yield a
        token.fault()


@pytest.mark.parametrize("fault,says", [("wrong", "does not verify"), ("garbage", "does not verify"),
                                        ("error", "DEVICE_ERROR|device|0x30")])
def test_faults(faulty, token, fault, says):
    """A false signature never leaves; what went wrong is told and over as soon as the module is right again."""
    token.fault(fault)
    assert refusal(faulty, SANDBOX).name == "BACKEND"
    wait_until("the log says why", lambda: re.search(says, faulty.log_text(), re.I))
    sign(faulty, "beside/sandbox")
    token.fault()
    wait_until("it signs again", lambda: try_to_sign(faulty), 5)
    judged(faulty, SANDBOX, CLIENT_ID)


def test_a_module_that_crashes(faulty, token):
    """It takes its own keeper down, which is started again."""
    before = faulty.pid_of("keeper", "soft")
    token.fault("crash")
    assert refusal(faulty, SANDBOX).class_ == "retry"
    sign(faulty, "beside/sandbox")
    token.fault()
    wait_until("it signs again", lambda: try_to_sign(faulty), 10)
    judged(faulty, SANDBOX, CLIENT_ID)
    assert faulty.pid_of("keeper", "soft") == before
    faulty.killed = True  # what a sanitizer says of the module's end


def test_a_module_that_hangs(faulty, token):
    """Its callers get their answer when their time is over; nobody else notices."""
    token.fault("hang")
    only_its_own_wait(faulty, "beside/sandbox")
    token.fault()
    wait_until("it signs again", lambda: try_to_sign(faulty), 5)
    judged(faulty, SANDBOX, CLIENT_ID)


@pytest.fixture
def impatient(token):
    """A live profile in a token of one session, for which nobody waits longer than 600 ms; another profile beside it."""
    conf = token.conf(module=BIN / "antag-faultp11.so", threads=1, max_wait_ms=int(600 * SLOW))
    with Agent(conf=conf) as a:
        a.make_profile("shop", "live", LIVE_ID, key=False)
        a.ctl("key", "generate", LIVE, "--keyring", "hsm1")
        a.make_profile("beside", "sandbox")
        judged_live(a)
        yield a
        token.fault()


def judged_live(a):
    public = judge.load_public(a.ctl("key", "export", LIVE)["public_key"])
    judge.judge_request(public, "POST", PAY, LIVE_ID, sign(a, LIVE)["headers"], b"{}")


def ring(a):
    return next(k for k in a.ctl("status")["keyrings"] if k["keyring"] == "hsm1")


def pay(c):
    return c.send("sign_request", profile=LIVE, method="POST", uri=PAY, body=b"{}")


def test_a_keyring_that_is_silent(impatient, token):
    """Nobody waits for ever; once it is known to hang, requests are answered at once; it is found again by itself."""
    token.fault("hang")
    begin = time.monotonic()
    with Client(impatient.agent_sock, timeout=30) as c:
        waiting = [pay(c) for _ in range(3)]
        for _ in range(20):
            sign(impatient, "beside/sandbox")
        errors = [c.recv_message()[2] for _ in waiting]
        assert {(e["name"], e["class"]) for e in errors} == {("BACKEND", "retry")}
        assert time.monotonic() - begin < 5 * SLOW
        again = time.monotonic()
        pay(c)
        error = c.recv_message()[2]
        assert error["name"] == "BACKEND" and "does not answer" in error["message"]
        assert time.monotonic() - again < 1 * SLOW
        # those that were let in and ended are still with the module: it is silent, and said to be
        told = wait_until("status says so", lambda: ring(impatient)["state"] == "silent" and ring(impatient), 10)
        assert "busy with one signature" in told["why"]
        profiles = {p["profile"]: p for p in impatient.ctl("status")["profiles"]}
        assert profiles[LIVE]["sign"] == "BACKEND" and profiles["beside/sandbox"]["sign"] == "ready"
    token.fault()
    wait_until("it signs again", lambda: try_to_sign(impatient, LIVE), 5)
    judged_live(impatient)
    assert ring(impatient)["state"] == "ready"


def test_a_keyring_that_is_slow(impatient, token):
    """As many as can be signed in time are; the rest is told at once how long it would take, and doctor sees it coming."""
    token.fault("slow")
    with Client(impatient.agent_sock, timeout=60) as c:
        for _ in range(6):  # how slow it is has to be learned
            sign(impatient, LIVE)
        waiting = [pay(c) for _ in range(8)]
        for _ in waiting:
            c.recv_message()
        begin = time.monotonic()
        waiting = [pay(c) for _ in range(40)]
        answers = [(c.recv_message(), time.monotonic() - begin) for _ in waiting]
    good = [a for a, _ in answers if a[2] is None]
    busy = [(a[2], t) for a, t in answers if a[2] is not None]
    assert good and busy and {e["name"] for e, _ in busy} == {"BUSY"}
    assert min(t for _, t in busy) < 0.3 * SLOW
    assert all(e["retry_after_ms"] > 600 * SLOW and "max_wait_ms" in e["message"] for e, _ in busy)
    sign(impatient, "beside/sandbox")
    found = impatient.doctor()["slow_shop/live"]
    assert "hsm1" in found["message"] and "rotate start shop/live" in found["remedy"]
    assert ring(impatient)["p50_us"] >= 131072 and ring(impatient)["failed"] == 0


def test_a_keyring_that_fails(impatient, token):
    token.fault("error")
    for _ in range(4):
        assert refusal(impatient, LIVE).name == "BACKEND"
    assert ring(impatient)["state"] == "failing" and ring(impatient)["failed"] >= 3
    status = impatient.ctl("status")
    assert next(p for p in status["profiles"] if p["profile"] == LIVE)["sign"] == "BACKEND"
    token.fault()
    sign(impatient, LIVE)
    assert ring(impatient)["state"] == "ready"


@pytest.mark.parametrize("fault, says", [
    ("nomech", "does not sign with CKM_RSA_PKCS"), ("pinlocked", "PIN is locked"), ("finaltry", "one more wrong PIN"),
    ("nopin", "no PIN yet"), ("noslot", "no token fits"),
])
def test_doctor_names_the_cause(faulty, token, fault, says):
    """Of a token that cannot be used from the start; others sign, and it is over when the cause is."""
    token.fault(fault)
    faulty.stop()
    faulty.start()
    assert refusal(faulty, SANDBOX).name == "BACKEND"
    assert says in faulty.doctor()["keyring_hsm1"]["message"]
    sign(faulty, "beside/sandbox")
    token.fault()
    wait_until("it signs again", lambda: try_to_sign(faulty), 5)
    assert "keyring_hsm1" not in faulty.doctor()


@pytest.mark.parametrize("fault", ["sessions", "maker"])
def test_fewer_sessions_than_threads(token, fault):
    """A token that has no more, and a module that is known not to bear them: threads take turns, and nothing fails."""
    token.fault(fault)
    with Agent(conf=token.conf(module=BIN / "antag-faultp11.so", threads=4)) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
        with Client(a.agent_sock, timeout=60) as c:
            waiting = [c.send("sign_request", profile=SANDBOX, method="POST", uri=PAY, body=b"{}") for _ in range(100)]
            assert {c.recv_message()[2] is None for _ in waiting} == {True}
        judged(a, SANDBOX, CLIENT_ID)
        assert ("token.quirk" in a.log_text() and "one thing after the other" in a.log_text()) == (fault == "maker")
        assert ring(a)["failed"] == 0


@pytest.mark.parametrize("whole", [False, True])
def test_crash_while_a_key_is_made(faulty, token, whole):
    """The keeper, or the whole agent, ends when the token has made the key and nobody knows it yet: it does not stay."""
    had = token.objects()
    token.fault("unborn")
    with pytest.raises(CtlError):
        faulty.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    if whole:
        faulty.kill()
        faulty.start()
    faulty.killed = True  # what a sanitizer says of the module's end
    token.fault()
    wait_until("it is gone", lambda: token.objects() == had, 30)
    wait_until("one can be made", lambda: try_to_make(faulty), 30)
    versions = [k["version"] for k in faulty.ctl("key", "list", SANDBOX)["keys"]]
    assert versions == sorted(set(versions)) and token.objects() == had + 2
    judged(faulty, SANDBOX, CLIENT_ID)


def try_to_make(agent):
    try:
        return agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    except CtlError as error:
        assert error.error["class"] == "retry", error
        return None
