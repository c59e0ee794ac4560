"""Private keys in a PKCS#11 token (SoftHSM 2), on the same commands and the same data plane as those of `soft`."""
import re
import threading
import time

import pytest

import judge
from agent_fixture import BIN, SLOW, Agent, CtlError
from antom_client import Client
from signing import PAY, SANDBOX, refusal, sign, wait_until
from softhsm import Token

CLIENT_ID = "SANDBOX_5Xhsm"
SENT = "/ams/sandbox/api/v1/payments/pay"


@pytest.fixture
def token(tmp_path):
    return Token(tmp_path)


@pytest.fixture
def agent(token):
    with Agent(conf=token.conf()) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        yield a


def check(agent, profile=SANDBOX):
    """A signature that verifies under the exported public key."""
    public = judge.load_public(agent.ctl("key", "export", profile)["public_key"])
    answer = sign(agent, profile)
    judge.judge_request(public, "POST", SENT, CLIENT_ID, answer["headers"], b"{}")
    return answer


def test_a_key_of_its_own(agent, token):
    """Made in the token, signs, and is there after a restart; nothing of it stands in the registry."""
    key = agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    assert (key["keyring"], key["state"], key["bits"], key["origin"]) == ("hsm1", "active", 2048, "generated")
    assert token.objects() == 2
    assert check(agent)["version"] == 1
    agent.stop()
    agent.start()
    assert check(agent)["version"] == 1
    assert token.objects() == 2
    line = agent.ctl("audit", "show", "hsm1", "--last", "9", "--type", "sign")["lines"][-1]
    assert line["profile"] == SANDBOX and line["version"] == 1
    agent.ctl("audit", "verify")


def test_states(agent, token):
    """The same states as in any keyring; a key that is destroyed is destroyed in the token."""
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    agent.ctl("key", "activate", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "suspend", SANDBOX, 2)
    assert refusal(agent, SANDBOX).name == "KEY_STATE"
    agent.ctl("key", "resume", SANDBOX, 2)
    assert check(agent)["version"] == 2
    assert token.objects() == 4
    agent.ctl("key", "suspend", SANDBOX, 1)
    agent.ctl("key", "compromise", SANDBOX, 1)
    agent.ctl("key", "destroy", SANDBOX, 1)
    wait_until("its objects are gone", lambda: token.objects() == 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "suspend", SANDBOX, 2)
    assert "key destroy" in agent.refused("KEY_STATE", "app", "remove", "shop")
    agent.ctl("key", "compromise", SANDBOX, 2)
    agent.ctl("key", "destroy", SANDBOX, 2)
    wait_until("its objects are gone", lambda: token.objects() == 0)
    agent.ctl("key", "suspend", SANDBOX, 3)  # its successor, in the keyring soft
    agent.ctl("app", "remove", "shop")


def test_no_import(agent, token):
    said = agent.refused("BAD_PARAM", "key", "import", SANDBOX, "--keyring", "hsm1", input=judge.pkcs8(judge.new_key()))
    assert "key generate" in said and token.objects() == 0


def test_from_soft_to_the_token(agent):
    """Side by side, and from one to the other."""
    agent.ctl("key", "generate", SANDBOX)
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    assert check(agent)["version"] == 1
    agent.ctl("key", "activate", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "activate", SANDBOX, 1)
    assert check(agent)["version"] == 1


def test_several_at_once(agent):
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    wrong = []

    def load():
        try:
            for _ in range(50):
                sign(agent, SANDBOX)
            check(agent)
        except Exception as error:  # told below
            wrong.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120 * SLOW)
    assert not wrong


def test_token_that_goes_and_comes(agent, token):
    """Without it its keys answer BACKEND and others sign; it is found again without a restart."""
    agent.make_profile("beside", "sandbox")
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    check(agent)
    token.take_away()
    agent.stop()
    agent.start()
    assert refusal(agent, SANDBOX).name == "BACKEND"
    sign(agent, "beside/sandbox")
    token.bring_back()
    wait_until("it signs again", lambda: try_to_sign(agent), 5)
    check(agent)


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


def try_to_sign(agent):
    try:
        return sign(agent, SANDBOX)
    except Exception:  # told by wait_until when it goes on
        return None


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


# ---- a module that is broken

@pytest.fixture
def faulty(token):
    """A key in a token whose module has faults, and another profile beside it in `soft`."""
    with Agent(conf=token.conf(module=BIN / "antag-faultp11.so")) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
        a.make_profile("beside", "sandbox")
        check(a)
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
    check(faulty)


def test_a_module_that_crashes(faulty, token):
    """It takes its own keeper down, which is started again."""
    before = faulty.pid_of("keeper", "soft")
    token.fault("crash")
    assert refusal(faulty, SANDBOX).class_ == "retry"
    sign(faulty, "beside/sandbox")
    token.fault()
    wait_until("it signs again", lambda: try_to_sign(faulty), 10)
    check(faulty)
    assert faulty.pid_of("keeper", "soft") == before
    faulty.killed = True  # what a sanitizer says of the module's end


def test_a_module_that_hangs(faulty, token):
    """Its callers get their answer when their time is over; nobody else notices."""
    token.fault("hang")
    begin = time.monotonic()
    with Client(faulty.agent_sock) as c:
        waiting = [c.send("sign_request", profile=SANDBOX, method="POST", uri=PAY, body=b"{}", deadline_ms=1500)
                   for _ in range(8)]
        for _ in range(20):
            sign(faulty, "beside/sandbox")
        assert time.monotonic() - begin < 1.5 * SLOW, "others waited for it"
        names = {c.recv_message()[2]["name"] for _ in waiting}
    assert names <= {"DEADLINE", "BUSY", "BACKEND"}
    assert time.monotonic() - begin < 5 * SLOW
    faulty.ctl("status")
    token.fault()
    wait_until("it signs again", lambda: try_to_sign(faulty), 5)
    check(faulty)


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
    check(faulty)


def try_to_make(agent):
    try:
        return agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    except CtlError as error:
        assert error.error["class"] == "retry", error
        return None
