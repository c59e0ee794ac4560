"""What the root key is sealed with: changing it, opening it by a TPM, its recovery passphrase or a credential, and every way
in which it does not open."""
import os

import pytest

from agent_fixture import Agent
from signing import SANDBOX, sign, wait_until
from staffing import ALICE, OFFICER, OWN, Office

WORD, RECOVERY = "correct horse", "battery staple"


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    """The folder that a service manager would pass."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    put(folder, os.urandom(32))
    return folder


def put(folder, secret, mode=0o400):
    path = folder / "antom-agent.seal"
    path.unlink(missing_ok=True)
    path.write_bytes(secret)
    path.chmod(mode)


def seal_conf(tpm):
    return f"\n[seal]\ntcti = swtpm:path={tpm.server}\n"


@pytest.fixture
def agent(tmp_path, tpm, credentials):
    with Agent(conf=seal_conf(tpm)) as a:
        a.make_profile("shop", "sandbox")
        yield a


def again(a):
    a.stop()
    return a.start()


def locked(a, *words):
    status = a.ctl("status")
    assert status["state"] == "locked"
    for word in words:
        assert word in status["reason"], status["reason"]
    return status


# ---- changing


def test_through_all(agent):
    """Each seal opens at the next start, in its way, and the keys are the same."""
    key = agent.ctl("key", "list", SANDBOX)["keys"][0]["fingerprint"]
    steps = [("tpm", RECOVERY, False), ("credential", None, False), ("passphrase", WORD, True), ("file", None, False),
             ("passphrase", WORD, True), ("tpm", RECOVERY, False)]
    for kind, word, asks in steps:
        made = agent.ctl("seal", "change", kind, input=word)
        assert made["type"] == kind and made["pending"] is False and made["uid"] == os.getuid()
        assert made["opens"] is (not asks) and made.get("pcrs") == ("7" if kind == "tpm" else None)
        assert os.stat(agent.home / "root.seal").st_mode & 0o7777 == 0o400
        again(agent)
        if asks:
            locked(agent, "passphrase")
            agent.ctl("unlock", input=word)
        sign(agent, SANDBOX)
        assert agent.ctl("key", "list", SANDBOX)["keys"][0]["fingerprint"] == key
        assert agent.ctl("status")["seal"] == kind
        assert agent.ctl("seal", "show")["type"] == kind
    deeds = [line for line in agent.ctl("audit", "show", "--last", "400")["lines"] if line.get("what") == "seal_change"]
    assert [d["detail"] for d in deeds][-2:] == ["root key: passphrase, was file", "root key: tpm, PCR 7, was passphrase"]


def test_without_a_restart(agent):
    """Nothing else notices, and lock and unlock work with the new one."""
    agent.ctl("seal", "change", "passphrase", input=WORD)
    sign(agent, SANDBOX)
    agent.ctl("lock")
    agent.refused("WRONG_PASSPHRASE", "unlock", input=WORD + "x")
    agent.ctl("unlock", input=WORD)
    sign(agent, SANDBOX)


@pytest.mark.parametrize("args, word, name, says", [
    (["passkey"], None, "BAD_PARAM", "file, passphrase, credential or tpm"),
    (["passphrase"], "short", "BAD_PARAM", "8 to 1024 bytes"),
    (["tpm"], "short", "BAD_PARAM", "8 to 1024 bytes"),
    (["tpm", "--pcrs", "24"], RECOVERY, "BAD_PARAM", "0 to 23"),
    (["tpm", "--pcrs", "7,7"], RECOVERY, "BAD_PARAM", "each once"),
    (["tpm", "--pcrs", "7,"], RECOVERY, "BAD_PARAM", "0,2,7"),
    (["passphrase", "--pcrs", "7"], WORD, "BAD_PARAM", "tpm seal"),
])
def test_refused(agent, args, word, name, says):
    before = (agent.home / "root.seal").read_bytes()
    assert says in agent.refused(name, "seal", "change", *args, input=word)
    assert (agent.home / "root.seal").read_bytes() == before
    assert not (agent.home / "root.seal.new").exists()
    assert agent.ctl("seal", "show")["type"] == "file"


def test_a_passphrase_where_none_goes(agent, tmp_path):
    (tmp_path / "word").write_text(WORD)
    for kind in ("file", "credential"):
        assert "no passphrase" in agent.refused("BAD_PARAM", "seal", "change", kind, "--passphrase-file",
                                                tmp_path / "word")


def test_renew_needs_a_tpm_seal(agent):
    assert "no recovery passphrase that could stay" in agent.refused("BAD_PARAM", "seal", "renew")


# ---- the TPM's


def test_tpm_pcr_changed(agent, tpm):
    agent.ctl("seal", "change", "tpm", "--pcrs", "0,2,16", input=RECOVERY)
    agent.stop()
    tpm.extend(16)
    agent.start()
    locked(agent, "PCR 0,2,16", "antomctl unlock", "seal renew")
    agent.refused("SEAL", "unlock")  # there is nobody to ask
    agent.refused("WRONG_PASSPHRASE", "unlock", "--passphrase-file", "-", input=WORD)
    agent.ctl("unlock", "--passphrase-file", "-", input=RECOVERY)
    sign(agent, SANDBOX)
    shown = agent.ctl("seal", "show")
    assert shown["by_recovery"] and not shown["opens"] and "PCR 0,2,16" in shown["why"]
    assert agent.doctor()["seal"]["remedy"] == "antomctl seal renew"
    renewed = agent.ctl("seal", "renew")
    assert renewed["opens"] and renewed["pcrs"] == "0,2,16" and not renewed["by_recovery"]
    assert "seal" not in agent.doctor()
    again(agent)
    sign(agent, SANDBOX)
    agent.ctl("lock")
    agent.ctl("unlock", "--passphrase-file", "-", input=RECOVERY)  # it stayed
    sign(agent, SANDBOX)


def test_another_tpm(agent, tpm):
    agent.ctl("seal", "change", "tpm", input=RECOVERY)
    agent.stop()
    tpm.exchange()
    agent.start()
    locked(agent, "not the TPM it was made in", "recovery passphrase")
    tpm.bring_back()
    agent.ctl("unlock")
    sign(agent, SANDBOX)


def test_no_tpm(agent, tpm):
    agent.ctl("seal", "change", "tpm", input=RECOVERY)
    agent.stop()
    tpm.kill()
    agent.start()
    locked(agent, "no TPM answers", str(tpm.server))
    tpm.start()
    agent.ctl("unlock")
    sign(agent, SANDBOX)


def test_a_tpm_that_hangs(agent, tpm):
    """The opener's deadline ends it, and the recovery passphrase still opens."""
    agent.ctl("seal", "change", "tpm", input=RECOVERY)
    agent.configure("\n[opener]\ndeadline_ms = 2000\n")
    agent.stop()
    tpm.hang()
    agent.start()
    locked(agent, "deadline_ms")
    agent.ctl("unlock", "--passphrase-file", "-", input=RECOVERY)
    sign(agent, SANDBOX)
    tpm.go_on()


def test_init_with_a_tpm(tmp_path, tpm):
    a = Agent(init=False)
    a.home.mkdir(mode=0o711)
    a.configure(seal_conf(tpm))
    a.init("tpm", RECOVERY)
    with a:
        a.make_profile("shop", "sandbox")
        sign(a, SANDBOX)
        assert a.ctl("seal", "show")["opens"]
        assert seal_conf(tpm).strip() in (a.home / "agent.conf").read_text()
        again(a)
        sign(a, SANDBOX)


def test_init_without_one(tmp_path):
    """Nothing is left that keeps the next init."""
    a = Agent(init=False)
    a.home.mkdir(mode=0o711)
    a.configure(f"\n[seal]\ntcti = swtpm:path={tmp_path}/nowhere\n")
    assert "no TPM answers" in a.refused("SEAL", "init", "--seal", "tpm", "--staff-uid", str(os.getuid()), input=RECOVERY)
    a.init()
    with a:
        a.make_profile("shop", "sandbox")


# ---- credentials


@pytest.mark.parametrize("change, says", [
    (lambda folder: put(folder, os.urandom(32)), "another than it was sealed with"),
    (lambda folder: put(folder, b"short"), "32 to 4096"),
    (lambda folder: put(folder, os.urandom(32), 0o404), "others cannot read"),
    (lambda folder: (folder / "antom-agent.seal").unlink(), "LoadCredentialEncrypted"),
], ids=["another", "short", "for all", "missing"])
def test_credential_that_does_not_open(agent, credentials, change, says):
    right = (credentials / "antom-agent.seal").read_bytes()
    agent.ctl("seal", "change", "credential")
    agent.stop()
    change(credentials)
    agent.start()
    locked(agent, says, "antom-agent.seal")
    put(credentials, right)
    agent.ctl("unlock")
    sign(agent, SANDBOX)


def test_no_credentials_passed(agent, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    again(agent)
    assert "LoadCredentialEncrypted" in agent.refused("SEAL", "seal", "change", "credential")


def test_init_with_a_credential(credentials):
    with Agent(seal="credential") as a:
        a.make_profile("shop", "sandbox")
        sign(a, SANDBOX)


# ---- once something is launched


@pytest.mark.skipif(OWN != 0, reason="as root: staff have uids of their own")
def test_is_a_change(tmp_path, antom_key, tpm):
    with Office(tmp_path) as o:
        o.agent.configure(seal_conf(tpm))
        again(o.agent)
        o.launch(antom_key=antom_key)
        change = o.opened("seal", "change", "tpm", input=RECOVERY)
        shown = o.change(change)
        assert {"what": "root key: sealed by", "was": "file", "is": "tpm, PCR 7"} in shown["alters"]
        assert o.ctl("seal", "show")["type"] == "file"
        assert RECOVERY.encode() not in (o.agent.home / "registry.db").read_bytes()
        assert o.approve(change, ALICE)["state"] == "applied"
        assert o.ctl("seal", "show")["type"] == "tpm"
        again(o.agent)
        assert o.ctl("status")["state"] == "ready"
        said = o.agent.refused("LAUNCH", "seal", "change", "file", uid=OFFICER)
        assert "--accept-file-seal" in said
        back = o.opened("seal", "change", "file", "--accept-file-seal")
        assert o.approve(back, ALICE)["state"] == "applied"
        assert o.ctl("seal", "show")["type"] == "file"


# ---- cut off


def test_left_behind(agent):
    """What a change that was cut off left of the new file is in nobody's way."""
    (agent.home / "root.seal.new").write_bytes(b"half of a se")
    agent.ctl("seal", "change", "passphrase", input=WORD)
    assert not (agent.home / "root.seal.new").exists()
    again(agent)
    agent.ctl("unlock", input=WORD)
    sign(agent, SANDBOX)


def test_finished_after_a_crash(agent):
    """It is decided, and root.seal cannot be replaced: the old one opens, and the next agent does what is left."""
    obstacle = agent.home / "root.seal.new"
    obstacle.mkdir()
    said = agent.refused("IO", "seal", "change", "passphrase", input=WORD)
    assert "recorded" in said and "the old one goes on opening" in said
    shown = agent.ctl("seal", "show")
    assert shown["type"] == "file" and shown["pending"] and shown["opens"]
    agent.kill()
    agent.start()
    sign(agent, SANDBOX)
    assert agent.ctl("seal", "show")["pending"]
    agent.kill()
    obstacle.rmdir()
    agent.start()
    wait_until("the seal is replaced", lambda: agent.ctl("seal", "show")["type"] == "passphrase", 20)
    assert not agent.ctl("seal", "show")["pending"]
    agent.kill()
    agent.start()
    locked(agent, "passphrase")
    agent.ctl("unlock", input=WORD)
    sign(agent, SANDBOX)
