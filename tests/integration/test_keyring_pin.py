"""The PIN of a token that stands in the registry: given by staff, sealed for its keeper, tried once, kept if it is right."""
import subprocess

import pytest

from agent_fixture import Agent
from signing import SANDBOX, judged, refusal, sign, try_to_sign, wait_until
from softhsm import MODULE, Token

CLIENT_ID = "SANDBOX_5Xpin"
PIN, OTHER = "pin-of-the-token-7391", "another-pin-2846"


@pytest.fixture
def token(tmp_path):
    return Token(tmp_path, pin=PIN)


@pytest.fixture
def agent(token):
    with Agent(conf=token.conf(pin_file=None)) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        yield a


def give(agent, pin=PIN):
    return agent.ctl("keyring", "pin", "hsm1", input=pin)


@pytest.fixture
def keyed(agent):
    assert give(agent)["state"] == "ready"
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    judged(agent, SANDBOX, CLIENT_ID)
    return agent


def ring(agent):
    return next(k for k in agent.ctl("keyring", "list")["keyrings"] if k["keyring"] == "hsm1")


def change_at_token(token, old, new):
    subprocess.run(["pkcs11-tool", "--module", MODULE, "--token-label", token.label, "--change-pin",
                    "--login", "--pin", old, "--new-pin", new], env={"SOFTHSM2_CONF": str(token.settings)}, check=True,
                   capture_output=True)


def test_none_yet(agent):
    """Everything that asks for the keyring names the command."""
    command = "antomctl keyring pin hsm1"
    assert command in agent.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "hsm1")
    assert command in agent.doctor()["keyring_hsm1"]["message"]
    shown = ring(agent)
    assert (shown["state"], shown["pin"]) == ("no-pin", "registry") and command in shown["why"] and "pin_ms" not in shown
    assert next(k for k in agent.ctl("status")["keyrings"] if k["keyring"] == "hsm1")["state"] == "no-pin"
    agent.make_profile("beside", "sandbox")
    sign(agent, "beside/sandbox")


def test_given_and_kept(keyed, token):
    """Over restarts, without being asked again; nowhere in clear."""
    shown = ring(keyed)
    assert (shown["state"], shown["pin"]) == ("ready", "registry") and shown["pin_ms"] > 0
    keyed.kill()
    keyed.start()
    wait_until("it signs again", lambda: try_to_sign(keyed))
    judged(keyed, SANDBOX, CLIENT_ID)
    keyed.ctl("lock")
    keyed.ctl("unlock")
    wait_until("it signs again", lambda: try_to_sign(keyed))
    deeds = [line for line in keyed.ctl("audit", "show", "--last", "400")["lines"] if line.get("what") == "keyring_pin"]
    assert [d["subject"] for d in deeds] == ["hsm1"]
    for path in keyed.home.parent.rglob("*"):
        if path.is_file() and not path.is_relative_to(token.folder):
            assert PIN.encode() not in path.read_bytes(), path
    assert PIN not in keyed.log_text()


def test_wrong_while_a_right_one_is_there(keyed):
    """Is refused and not kept; the right one is taken back, and a restart finds it."""
    before = ring(keyed)["pin_ms"]
    said = keyed.refused("BAD_PARAM", "keyring", "pin", "hsm1", input=OTHER)
    assert "was not kept" in said and "PIN is incorrect" in said and OTHER not in said
    judged(keyed, SANDBOX, CLIENT_ID)
    assert ring(keyed)["pin_ms"] == before
    keyed.kill()
    keyed.start()
    wait_until("it signs again", lambda: try_to_sign(keyed))


def test_wrong_while_there_is_none(agent):
    agent.refused("BAD_PARAM", "keyring", "pin", "hsm1", input=OTHER)
    assert ring(agent)["state"] == "no-pin"
    for _ in range(3):  # it is not tried again by itself
        agent.refused("BACKEND", "key", "generate", SANDBOX, "--keyring", "hsm1")
    assert give(agent)["state"] == "ready"
    agent.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
    judged(agent, SANDBOX, CLIENT_ID)


def test_changed_at_the_token(keyed, token):
    """The agent is let in no more after a restart; the new PIN is enough to sign again."""
    keyed.stop()
    change_at_token(token, PIN, OTHER)
    keyed.start()
    wait_until("it is refused", lambda: refusal(keyed, SANDBOX).name == "BACKEND")
    assert "refuses the PIN" in keyed.doctor()["keyring_hsm1"]["message"]
    assert give(keyed, OTHER)["state"] == "ready"
    wait_until("it signs again", lambda: try_to_sign(keyed))
    judged(keyed, SANDBOX, CLIENT_ID)


def test_given_while_the_token_is_away(agent, token):
    """Kept untried; it counts when the token is back."""
    token.take_away()
    assert give(agent)["pin_ms"] > 0
    token.bring_back()
    wait_until("a key is made", lambda: agent.ctl_raw("--json", "key", "generate", SANDBOX, "--keyring", "hsm1").returncode == 0)
    judged(agent, SANDBOX, CLIENT_ID)


@pytest.mark.parametrize("pin", ["", "\n", "x" * 256, "12\t34", "12\x7f"])
def test_no_pin_at_all(agent, pin):
    agent.refused("BAD_PARAM", "keyring", "pin", "hsm1", input=pin)
    assert ring(agent)["state"] == "no-pin"
    assert give(agent)["state"] == "ready"  # none of it was tried at the token


def test_longest(tmp_path):
    longest = "é" + "p" * 253
    token = Token(tmp_path, pin=longest)
    with Agent(conf=token.conf(pin_file=None)) as a:
        assert give(a, longest)["state"] == "ready"


def test_keyrings_that_take_none(token):
    with Agent(conf=token.conf()) as a:
        assert "needs no PIN" in a.refused("BAD_PARAM", "keyring", "pin", "soft", input=PIN)
        assert "pin_file" in a.refused("BAD_PARAM", "keyring", "pin", "hsm1", input=PIN)
        assert "[keyring hsm9]" in a.refused("NOT_FOUND", "keyring", "pin", "hsm9", input=PIN)
        kinds = {k["keyring"]: (k["type"], k.get("pin")) for k in a.ctl("keyring", "list")["keyrings"]}
        assert kinds == {"soft": ("soft", None), "hsm1": ("pkcs11", "file")}


def test_not_while_locked(agent):
    agent.ctl("lock")
    agent.refused("LOCKED", "keyring", "pin", "hsm1", input=PIN)


def test_two_keyrings(token, tmp_path):
    """Each has its own, at a restart too."""
    second = Token(tmp_path / "second", label="kms2")
    with Agent(conf=token.conf(pin_file=None) + second.conf("hsm2", pin_file=None)) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.make_profile("two", "sandbox", CLIENT_ID + "2", key=False)
        a.ctl("keyring", "pin", "hsm2", input="1234")
        assert ring(a)["state"] == "no-pin"
        give(a)
        a.ctl("key", "generate", SANDBOX, "--keyring", "hsm1")
        a.ctl("key", "generate", "two/sandbox", "--keyring", "hsm2")
        a.kill()
        a.start()
        for profile, client_id in ((SANDBOX, CLIENT_ID), ("two/sandbox", CLIENT_ID + "2")):
            wait_until("it signs again", lambda profile=profile: try_to_sign(a, profile))
            judged(a, profile, client_id)
