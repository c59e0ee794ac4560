"""The rules that hold for private keys wherever they live: the same cases over `soft`, a PKCS#11 token and a TPM. What is
particular to one kind stands in test_keyrings.py and test_tpm.py."""
import os
import signal
import threading

import pytest

import judge
from agent_fixture import SLOW, Agent
from devices import keyring
from signing import SANDBOX, judged, refusal, sign, try_to_sign, wait_until

CLIENT_ID = "SANDBOX_5Xrules"
RING = "second"


@pytest.fixture(params=["soft", "pkcs11", "tpm"])
def agent(request, tmp_path):
    with keyring(request.param, tmp_path, RING) as (conf, device), Agent(conf=conf) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.kind, a.device = request.param, device
        yield a


def generate(agent):
    return agent.ctl("key", "generate", SANDBOX, "--keyring", RING)


def check(agent):
    return judged(agent, SANDBOX, CLIENT_ID)


def end(agent, version):
    agent.ctl("key", "suspend", SANDBOX, version)
    agent.ctl("key", "compromise", SANDBOX, version)
    agent.ctl("key", "destroy", SANDBOX, version)


def test_a_key_of_its_own(agent):
    """Made there, signs, and signs after each restart; its line in the record is in its keyring's own chain."""
    key = generate(agent)
    assert (key["keyring"], key["state"], key["bits"], key["origin"]) == (RING, "active", 2048, "generated")
    assert check(agent)["version"] == 1
    for _ in range(3):  # what is not given back would fill the three places that a TPM has
        agent.stop()
        agent.start()
        assert check(agent)["version"] == 1
    line = agent.ctl("audit", "show", RING, "--last", "9", "--type", "sign")["lines"][-1]
    assert line["profile"] == SANDBOX and line["version"] == 1
    agent.ctl("audit", "verify")


def test_states(agent):
    generate(agent)
    assert generate(agent)["state"] == "staged"
    assert check(agent)["version"] == 1
    agent.ctl("key", "activate", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "suspend", SANDBOX, 2)
    assert refusal(agent, SANDBOX).name == "KEY_STATE"
    agent.stop()
    agent.start()
    assert refusal(agent, SANDBOX).name == "KEY_STATE"
    agent.ctl("key", "resume", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "activate", SANDBOX, 1)
    assert check(agent)["version"] == 1


def test_destroy(agent):
    """Gone for good, also from the device; another goes on."""
    generate(agent)
    generate(agent)
    agent.ctl("key", "activate", SANDBOX, 2)
    end(agent, 1)
    assert check(agent)["version"] == 2
    assert agent.refused("KEY_STATE", "key", "activate", SANDBOX, 1)
    if agent.kind == "pkcs11":
        wait_until("its objects are gone", lambda: agent.device.objects() == 2)
    agent.stop()
    agent.start()
    assert check(agent)["version"] == 2


def test_import(agent):
    """A key made elsewhere is taken by soft and a TPM, and signs as the same key does elsewhere; a token says how to get one."""
    key = judge.new_key()
    if agent.kind == "pkcs11":
        assert "key generate" in agent.refused("BAD_PARAM", "key", "import", SANDBOX, "--keyring", RING,
                                               input=judge.pkcs8(key))
        assert agent.device.objects() == 0
        assert not agent.ctl("key", "list", SANDBOX)["keys"]
        return
    made = agent.ctl("key", "import", SANDBOX, "--keyring", RING, input=judge.pkcs8(key))
    assert made["origin"] == "imported" and made["bits"] == 2048 and made["keyring"] == RING
    assert agent.ctl("key", "export", SANDBOX)["public_key"] == judge.spki(key)
    check(agent)
    agent.stop()
    agent.start()
    check(agent)
    agent.refused("KEY_FORM", "key", "import", SANDBOX, "--keyring", RING, input=b"no key")
    assert len(agent.ctl("key", "list", SANDBOX)["keys"]) == 1


def test_import_of_another_size(agent):
    """What the device has not is refused by name, and nothing is left."""
    if agent.kind == "pkcs11":
        return
    pem = judge.pkcs8(judge.new_key(4096))
    if agent.kind == "soft":
        assert agent.ctl("key", "import", SANDBOX, "--keyring", RING, input=pem)["bits"] == 4096
        check(agent)
    else:
        assert "4096" in agent.refused("BACKEND", "key", "import", SANDBOX, "--keyring", RING, input=pem)
        assert not agent.ctl("key", "list", SANDBOX)["keys"]
    generate(agent)


def test_side_by_side(agent):
    """Keys of one profile in two keyrings, and the switch between them."""
    agent.ctl("key", "generate", SANDBOX)
    generate(agent)
    assert check(agent)["version"] == 1
    agent.ctl("key", "activate", SANDBOX, 2)
    assert check(agent)["version"] == 2
    agent.ctl("key", "activate", SANDBOX, 1)
    assert check(agent)["version"] == 1


def test_several_at_once(agent):
    generate(agent)
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


def test_its_keeper_is_killed(agent):
    """It is started again, with its keys; the other keyring's goes on."""
    generate(agent)
    soft = agent.pid_of("keeper", "soft")
    os.kill(agent.pid_of("keeper", RING), signal.SIGKILL)
    if agent.kind == "tpm":
        agent.device.restart()  # no resource manager is in between, which would free what the killed one had loaded
    wait_until("it signs again", lambda: try_to_sign(agent), 10)
    check(agent)
    assert agent.pid_of("keeper", "soft") == soft
