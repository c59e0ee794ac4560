"""Private keys of a TPM 2.0 (swtpm), on the same commands and the same data plane as those of `soft`."""
import threading
import time

import pytest

import judge
from agent_fixture import SLOW, Agent
from antom_client import Client
from signing import PAY, SANDBOX, refusal, sign, wait_until
from swtpm import Tpm

CLIENT_ID = "SANDBOX_5Xtpm"
SENT = "/ams/sandbox/api/v1/payments/pay"


@pytest.fixture
def tpm(tmp_path):
    t = Tpm(tmp_path)
    yield t
    t.kill()


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


def check(agent, profile=SANDBOX, client_id=CLIENT_ID):
    """A signature that verifies under the exported public key."""
    public = judge.load_public(agent.ctl("key", "export", profile)["public_key"])
    answer = sign(agent, profile)
    judge.judge_request(public, "POST", SENT, client_id, answer["headers"], b"{}")
    return answer


def try_to_sign(agent):
    try:
        return sign(agent, SANDBOX)
    except Exception:  # told by wait_until when it goes on
        return None


def signs_again(agent):
    wait_until("it signs again", lambda: try_to_sign(agent), 5)
    check(agent)


def test_a_key_of_its_own(agent):
    """Made in the TPM, signs, and signs after a restart of the agent."""
    key = agent.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
    assert (key["keyring"], key["state"], key["bits"], key["origin"]) == ("tpm1", "active", 2048, "generated")
    assert check(agent)["version"] == 1
    for _ in range(3):  # what is not given back would fill the three places that this TPM has
        agent.stop()
        agent.start()
        assert check(agent)["version"] == 1
    line = agent.ctl("audit", "show", "tpm1", "--last", "9", "--type", "sign")["lines"][-1]
    assert line["profile"] == SANDBOX and line["version"] == 1
    agent.ctl("audit", "verify")


def test_states(agent):
    agent.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
    agent.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
    agent.ctl("key", "activate", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "suspend", SANDBOX, 2)
    assert refusal(agent, SANDBOX).name == "KEY_STATE"
    agent.ctl("key", "resume", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "suspend", SANDBOX, 1)
    agent.ctl("key", "compromise", SANDBOX, 1)
    agent.ctl("key", "destroy", SANDBOX, 1)
    assert check(agent)["version"] == 2


def test_no_import(agent):
    said = agent.refused("BAD_PARAM", "key", "import", SANDBOX, "--keyring", "tpm1", input=judge.pkcs8(judge.new_key()))
    assert "key generate" in said


def test_from_soft_to_the_tpm(agent):
    agent.ctl("key", "generate", SANDBOX)
    agent.ctl("key", "generate", SANDBOX, "--keyring", "tpm1")
    assert check(agent)["version"] == 1
    agent.ctl("key", "activate", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "activate", SANDBOX, 1)
    assert check(agent)["version"] == 1


def test_more_keys_than_places(agent):
    """This TPM holds three objects; five keys sign in turn."""
    apps = [f"more{i}" for i in range(5)]
    for app in apps:
        agent.make_profile(app, "sandbox", f"SANDBOX_5X{app}", key=False)
        agent.ctl("key", "generate", f"{app}/sandbox", "--keyring", "tpm1")
    for _ in range(3):
        for app in apps:
            check(agent, f"{app}/sandbox", f"SANDBOX_5X{app}")


def test_killed_under_load(keyed, tpm):
    """Each signature that is given out is right; after the TPM's restart it signs again by itself."""
    wrong, stop = [], threading.Event()
    public = judge.load_public(keyed.ctl("key", "export", SANDBOX)["public_key"])

    def load():
        while not stop.is_set():
            answer = try_to_sign(keyed)
            if answer is not None:
                try:
                    judge.judge_request(public, "POST", SENT, CLIENT_ID, answer["headers"], b"{}")
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
    sign(keyed, "beside/sandbox")
    tpm.start()
    signs_again(keyed)


def test_another_tpm(keyed, tpm):
    """It is not taken, whether it is exchanged while the agent runs or while it does not; the right one is taken back."""
    tpm.exchange()
    assert refusal(keyed, SANDBOX).name == "BACKEND"
    wait_until("the log says why", lambda: "not the TPM that made the keys" in keyed.log_text())
    said = keyed.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "tpm1")
    assert "not the TPM that made the keys" in said
    keyed.stop()
    keyed.start()
    assert refusal(keyed, SANDBOX).name == "BACKEND"
    sign(keyed, "beside/sandbox")
    tpm.bring_back()
    signs_again(keyed)


def test_hangs(keyed, tpm):
    """Its callers get their answer when their time is over; nobody else notices."""
    tpm.hang()
    begin = time.monotonic()
    try:
        with Client(keyed.agent_sock) as c:
            waiting = [c.send("sign_request", profile=SANDBOX, method="POST", uri=PAY, body=b"{}", deadline_ms=1500)
                       for _ in range(8)]
            for _ in range(20):
                sign(keyed, "beside/sandbox")
            assert time.monotonic() - begin < 1.5 * SLOW, "others waited for it"
            names = {c.recv_message()[2]["name"] for _ in waiting}
        assert names <= {"DEADLINE", "BUSY", "BACKEND"}
        assert time.monotonic() - begin < 5 * SLOW
        keyed.ctl("status")
    finally:
        tpm.go_on()
    signs_again(keyed)
