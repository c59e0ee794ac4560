"""A TPM that is wrong in some way: nothing false leaves, other keyrings sign, doctor names the cause, and it is over when the
cause is."""
import pytest

import faulttpm
from agent_fixture import Agent, CtlError
from faulttpm import BAD_AUTH, CREATE, CREATE_PRIMARY, FAILURE, HIERARCHY, LOAD, LOCKOUT, RETRY, SIGN, TEST_PARMS, VALUE
from signing import SANDBOX, judged, refusal, sign, try_to_sign, wait_until

CLIENT_ID = "SANDBOX_5Xtpm"


@pytest.fixture
def tpm(tmp_path):
    t = faulttpm.FaultyTpm(tmp_path)
    yield t
    t.kill()


@pytest.fixture
def agent(tpm):
    with Agent(conf=tpm.conf()) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
        a.make_profile("beside", "sandbox")
        judged(a, SANDBOX, CLIENT_ID)
        yield a
        tpm.fault = None


def mended(agent, tpm):
    tpm.fault = None
    wait_until("it signs again", lambda: try_to_sign(agent), 5)
    judged(agent, SANDBOX, CLIENT_ID)
    assert "keyring_tpm1" not in agent.doctor()


@pytest.mark.parametrize("code, words", [
    (LOCKOUT, "dictionary-attack lockout"),
    (RETRY, "busy with something else"),
    (FAILURE, "failure mode"),
    (HIERARCHY, "owner hierarchy is disabled"),
    (BAD_AUTH, "owner hierarchy has a password"),
], ids=["lockout", "retry", "failure", "hierarchy", "password"])
def test_refusals_by_name(agent, tpm, code, words):
    """Of whatever it is asked; where it answers all with that, doctor and the log say what it means."""
    tpm.fault = faulttpm.refuse(code, None)
    assert refusal(agent, SANDBOX).name == "BACKEND"
    sign(agent, "beside/sandbox")
    assert words in agent.doctor()["keyring_tpm1"]["message"]
    wait_until("the log says so", lambda: words in agent.log_text())
    with pytest.raises(CtlError) as error:
        agent.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
    assert words in str(error.value)
    mended(agent, tpm)


def test_after_a_start(agent, tpm):
    """The same when it is so from the beginning."""
    tpm.fault = faulttpm.refuse(HIERARCHY, (CREATE_PRIMARY,))
    agent.stop()
    agent.start()
    assert refusal(agent, SANDBOX).name == "BACKEND"
    assert "owner hierarchy is disabled" in agent.doctor()["keyring_tpm1"]["message"]
    mended(agent, tpm)


def test_firmware_without_rsa_2048(agent, tpm):
    tpm.fault = faulttpm.refuse(VALUE, (TEST_PARMS, CREATE))
    assert "RSA keys of 2048 bits" in agent.doctor()["keyring_tpm1"]["message"]
    said = agent.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "tpm1")
    assert "RSA keys of 2048 bits" in said
    mended(agent, tpm)


@pytest.mark.parametrize("how", [
    lambda answer: answer[:60] + bytes([answer[60] ^ 1]) + answer[61:],
    lambda answer: answer[:2] + (12).to_bytes(4, "big") + answer[6:12],
    lambda answer: answer[:6] + bytes(len(answer) - 6),
    lambda answer: b"\x80\x02" + (4096).to_bytes(4, "big") + b"x" * 4090,
    lambda answer: None,
], ids=["one bit", "cut short", "zeros", "garbage", "hangs up"])
def test_false_answers(agent, tpm, how):
    """What is not the TPM's own answer is not taken for one: the session's HMAC, and then the signature, are checked."""
    tpm.fault = faulttpm.change((SIGN,), how)
    for _ in range(3):
        assert refusal(agent, SANDBOX).name == "BACKEND"
    sign(agent, "beside/sandbox")
    mended(agent, tpm)


def test_a_key_that_does_not_load(agent, tpm):
    """Another error than those that have words here is told by its name and number."""
    tpm.fault = faulttpm.refuse(0x9DF, (LOAD,))  # TPM_RC_INTEGRITY of parameter 1
    agent.stop()
    agent.start()
    assert refusal(agent, SANDBOX).name in ("BACKEND", "NO_ACTIVE_KEY")
    wait_until("the log says why", lambda: "not wrapped by this TPM" in agent.log_text())
    sign(agent, "beside/sandbox")
    tpm.fault = None
    agent.stop()
    agent.start()
    judged(agent, SANDBOX, CLIENT_ID)
