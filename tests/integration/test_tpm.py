"""What is particular to private keys of a TPM 2.0 (swtpm): a TPM that goes, comes, hangs or is another. The rules that all
keyrings share stand in test_keyring_rules.py."""
import threading
import time

import pytest

import judge
from agent_fixture import SLOW, Agent
from devices import only_its_own_wait
from signing import SANDBOX, SANDBOX_PAY, judged, refusal, sign, try_to_sign, wait_until

CLIENT_ID = "SANDBOX_5Xtpm"


@pytest.fixture
def agent(tpm):
    with Agent(conf=tpm.conf()) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.make_profile("beside", "sandbox")
        yield a


@pytest.fixture
def keyed(agent):
    agent.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
    return agent


def signs_again(agent):
    wait_until("it signs again", lambda: try_to_sign(agent), 5)
    judged(agent, SANDBOX, CLIENT_ID)


def test_more_keys_than_places(agent):
    """This TPM holds three objects; five keys sign in turn."""
    apps = [f"more{i}" for i in range(5)]
    for app in apps:
        agent.make_profile(app, "sandbox", f"SANDBOX_5X{app}", key=False)
        agent.ctl("key", "generate", f"{app}/sandbox", "--keyring", "tpm1")
    for _ in range(3):
        for app in apps:
            judged(agent, f"{app}/sandbox", f"SANDBOX_5X{app}")


def test_killed_under_load(keyed, tpm):
    """Each signature that is given out is right; after the TPM's restart it signs again by itself."""
    wrong, stop = [], threading.Event()
    public = judge.load_public(keyed.ctl("key", "export", SANDBOX)["public_key"])

    def load():
        while not stop.is_set():
            answer = try_to_sign(keyed)
            if answer is not None:
                try:
                    judge.judge_request(public, "POST", SANDBOX_PAY, CLIENT_ID, answer["headers"], b"{}")
                except AssertionError as error:  # told below
                    wrong.append(error)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        for _ in range(3):
            tpm.restart()
            signs_again(keyed)
        tpm.kill()
        wait_until("its keys are refused", lambda: try_to_sign(keyed) is None)
        assert refusal(keyed, SANDBOX).name == "BACKEND"
        sign(keyed, "beside/sandbox")
        tpm.start()
        signs_again(keyed)
    finally:
        stop.set()
        for t in threads:
            t.join(60 * SLOW)
    assert not wrong


def test_not_there_at_the_start(keyed, tpm):
    tpm.kill()
    keyed.stop()
    keyed.start()
    assert refusal(keyed, SANDBOX).name == "BACKEND"
    said = keyed.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "tpm1")
    assert "no TPM answers" in said and "tcti" in said
    assert "no TPM answers" in keyed.doctor()["keyring_tpm1"]["message"]
    sign(keyed, "beside/sandbox")
    tpm.start()
    signs_again(keyed)
    assert "keyring_tpm1" not in keyed.doctor()


def test_another_tpm(keyed, tpm):
    """It is not taken, whether it is exchanged while the agent runs or while it does not; the right one is taken back."""
    tpm.exchange()
    wait_until("the log says why", lambda: refusal(keyed, SANDBOX).name == "BACKEND" and
               "not the TPM it was made in" in keyed.log_text())
    said = keyed.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "tpm1")
    assert "not the TPM it was made in" in said
    assert "not the TPM it was made in" in keyed.doctor()["keyring_tpm1"]["message"]
    keyed.stop()
    keyed.start()
    assert refusal(keyed, SANDBOX).name == "BACKEND"
    sign(keyed, "beside/sandbox")
    tpm.bring_back()
    signs_again(keyed)


def test_hangs(keyed, tpm):
    """Its callers get their answer when their time is over; nobody else notices."""
    tpm.hang()
    try:
        only_its_own_wait(keyed, "beside/sandbox")
        assert "has not answered" in keyed.doctor()["keyring_tpm1"]["message"]
    finally:
        tpm.go_on()
    signs_again(keyed)


def test_stopped_for_half_a_minute(tpm):
    """Whoever asks is answered in time, without a deadline of his own; others and the staff notice nothing; then it goes on."""
    with Agent(conf=tpm.conf(max_wait_ms=int(1000 * SLOW))) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
        a.make_profile("beside", "sandbox")
        judged(a, SANDBOX, CLIENT_ID)
        tpm.hang()
        try:
            end, answers = time.monotonic() + 30, set()
            while time.monotonic() < end:
                begin = time.monotonic()
                answers.add(refusal(a, SANDBOX).name)
                assert time.monotonic() - begin < 4 * SLOW
                begin = time.monotonic()
                sign(a, "beside/sandbox")
                assert time.monotonic() - begin < 1 * SLOW
                a.ctl("profile", "show", SANDBOX)
            assert answers <= {"BUSY", "BACKEND"}
        finally:
            tpm.go_on()
        wait_until("it signs again", lambda: try_to_sign(a), 5)
        judged(a, SANDBOX, CLIENT_ID)
