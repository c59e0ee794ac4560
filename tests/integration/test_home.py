"""The home of an agent: how it is made, sealed, locked, started again, reloaded, stopped, and tampered with;
and what its processes show to others on the host."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time

import pytest

import agent_fixture
import judge
from agent_fixture import BIN, SLOW, Agent, as_uid
from antom_client import AntomError, Client, frame

PAY, SENT = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"
CLIENT_ID = "SANDBOX_5Xhome"
PASSPHRASE = "correct horse battery 余额"
OTHER_UID = 10001
SANITIZED = any(word in (BIN / "antom-agent").read_bytes() for word in (b"__asan_init", b"__tsan_init"))


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def contents(home):
    """Every file with its bytes, mode and owner."""
    return {p.name: (p.read_bytes() if p.is_file() else None, mode(p), p.lstat().st_uid)
            for p in sorted(pathlib.Path(home).iterdir())}


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds * SLOW
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds * SLOW} s"
        time.sleep(0.02)
    return found


def gone(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True
    return state == "Z"


def sign(a, body=b"{}", profile="shop/sandbox"):
    with Client(a.agent_sock, timeout=20 * SLOW) as client:
        return client.call("sign_request", profile=profile, method="POST", uri=PAY, body=body)


def sign_fails(a, name):
    with pytest.raises(AntomError) as error:
        sign(a)
    assert error.value.name == name, error.value
    return error.value.message


def judge_sign(a, public, client_id=CLIENT_ID):
    body = os.urandom(40)
    got = sign(a, body)
    judge.judge_request(public, "POST", SENT, client_id, got["headers"], body)
    return got


def hello_and_health(a):
    with Client(a.agent_sock, timeout=20 * SLOW) as client:
        return client.call("hello"), client.call("health")


@pytest.fixture
def bare():
    """Agents without a home, removed at the end."""
    made = []

    def make(**options):
        made.append(Agent(init=False, **options))
        return made[-1]
    yield make
    for a in made:
        a.remove()


def run_agent(a, *args, **more):
    """antom-agent in the foreground, for starts that fail."""
    return subprocess.run([*a.agent_command(), *args], capture_output=True, text=True, timeout=60 * SLOW, env=a.env(),
                          **more)


# ---- init


def test_init_makes_what_it_says(bare):
    a = bare()
    made = a.init()
    assert made["seal"] == "file" and made["staff_uid"] == os.getuid()
    assert (made["home"], made["conf"], made["registry"]) == (str(a.home), str(a.home / "agent.conf"),
                                                              str(a.home / "registry.db"))
    modes = {name: facts[1] for name, facts in contents(a.home).items()}
    assert modes == {"agent.conf": 0o600, "registry.db": 0o600, "root.seal": 0o400, "lock": 0o600}
    assert mode(a.home) == 0o711
    a.start()
    assert mode(a.agent_sock) == mode(a.staff_sock) == 0o666
    assert set(os.listdir(a.home)) >= {"agent.sock", "staff.sock"}
    for name in os.listdir(a.home):
        if not name.endswith(".sock"):
            assert mode(a.home / name) & 0o077 == 0, name
    status = a.ctl("status", "--wait", 30)
    assert (status["state"], status["seal"], status["home"]) == ("ready", "file", str(a.home))
    assert status["pid"] == a.process.pid


def test_init_takes_an_empty_folder(bare):
    a = bare()
    a.home.mkdir(mode=0o755)
    a.init()
    assert mode(a.home) == 0o711


def test_agent_conf_is_commented_and_says_the_defaults(bare):
    """Every key stands there behind a '#'; without the '#' nothing changes."""
    a = bare()
    a.init()
    text = (a.home / "agent.conf").read_text()
    keys = re.findall(r"^#(\w+) = (\S+)$", text, re.M)
    assert len(keys) >= 15
    assert not re.search(r"^\w+ *=", text, re.M), "a key is set"
    for section in ("log", "policy", "limits", "keys", "keyring soft"):
        assert f"\n[{section}]\n" in text
    for name, _ in keys:  # what it does stands above
        assert re.search(rf"^# .*[.]\n#{name} = ", text, re.M), name
    a.start()
    before = hello_and_health(a)
    a.stop()
    (a.home / "agent.conf").write_text(re.sub(r"^#(\w+ = )", r"\1", text, flags=re.M))
    a.start()
    assert hello_and_health(a) == before
    a.stop()
    (a.home / "agent.conf").write_text("")  # nothing at all is a configuration, too
    a.start()
    assert hello_and_health(a) == before


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("args, input", [([], None), (["--seal", "passphrase"], PASSPHRASE), (["--staff-uid", "7"], None)])
def test_second_init_changes_nothing(bare, running, args, input):
    a = bare()
    a.init()
    if running:
        a.start()
        a.make_profile("shop", "sandbox", CLIENT_ID)
    before = contents(a.home)
    for _ in range(2):
        said = a.refused("ALREADY_INITIALISED", "init", *args, input=input)
        assert str(a.home) in said
    assert contents(a.home) == before
    if not running:
        a.start()
    assert a.ctl("status")["state"] == "ready"


@pytest.mark.parametrize("name", ["file", ".hidden", "registry.db", "folder/"])
def test_init_in_a_folder_that_is_not_empty(bare, name):
    """Also with only one of our own files: a lost seal is no reason to write over a registry."""
    a = bare()
    a.home.mkdir(mode=0o755)
    if name.endswith("/"):
        (a.home / name).mkdir()
    else:
        (a.home / name).write_bytes(b"mine")
    before = contents(a.home)
    said = a.refused("HOME", "init")
    assert name.rstrip("/") in said and "empty" in said
    assert contents(a.home) == before and mode(a.home) == 0o755


def test_init_takes_a_configuration_that_is_there(bare):
    """And refuses one that is wrong, before anything is made."""
    a = bare()
    a.home.mkdir(mode=0o755)
    (a.home / "agent.conf").write_text("[log]\nlevel = loud\n")
    assert "level" in a.refused("CONF", "init", "--staff-uid", str(os.getuid()))
    assert contents(a.home).keys() <= {"agent.conf", "lock"}
    (a.home / "agent.conf").write_text("[log]\nlevel = debug\n")
    a.init()
    assert (a.home / "agent.conf").read_text() == "[log]\nlevel = debug\n"


@pytest.mark.parametrize("make, words", [
    (lambda home: home.write_bytes(b"x"), "Not a directory"),
    (lambda home: home.symlink_to("/nowhere/at/all"), "symbolic link"),
    (lambda home: (home.mkdir(), os.chown(home, OTHER_UID, OTHER_UID)), str(OTHER_UID)),
], ids=["file", "link to nothing", "somebody else's"])
def test_init_where_no_home_can_be(bare, make, words):
    a = bare()
    make(a.home)
    assert words in a.refused("HOME", "init")


def test_init_below_nothing(bare):
    a = bare()
    a.home = a.root / "no" / "such" / "home"
    assert "No such file" in a.refused("HOME", "init")
    assert not (a.root / "no").exists()


def test_init_under_sudo_asks_who_will_be_staff(bare, monkeypatch):
    assert os.getuid() == 0, "these tests run as root"
    a = bare()
    monkeypatch.setenv("SUDO_UID", "1234")
    said = a.refused("USAGE", "init")
    assert "--staff-uid 1234" in said
    assert not a.home.exists()
    assert a.ctl("init", "--staff-uid", 1234)["staff_uid"] == 1234
    a.start()
    a.refused("NOT_STAFF", "app", "list")  # root was not enrolled
    assert a.ctl("app", "list", uid=1234) == {"apps": []}


@pytest.mark.parametrize("uid", ["", "-1", "x", "4294967295", "1.5", "99999999999"])
def test_staff_uid_refused(bare, uid):
    a = bare()
    done = a.ctl_raw("--json", "init", "--staff-uid", uid)
    assert done.returncode == 2 and json.loads(done.stdout)["error"]["name"] == "USAGE"
    assert not a.home.exists()


@pytest.mark.parametrize("args", [["--seal", "tmp"], ["--seal", ""], ["--seal", "file", "--passphrase-file", "/dev/null"]])
def test_init_usage(bare, args):
    a = bare()
    a.refused("USAGE", "init", *args)
    assert not a.home.exists()


@pytest.mark.parametrize("passphrase", ["", "\n", "short", "x" * 1025, "x" * 70000],
                         ids=["empty", "a line end", "short", "over 1024 bytes", "over 64 KiB"])
def test_init_passphrase_refused(bare, passphrase):
    a = bare()
    a.refused("BAD_PARAM", "init", "--seal", "passphrase", input=passphrase)
    assert not (a.home / "root.seal").exists()
    assert a.ctl("init")["seal"] == "file"  # and the folder can still be used


def test_socket_path_limit(bare):
    """107 bytes is the most that the kernel takes."""
    a = bare()
    room = 107 - len(f"{a.root}/") - len("/agent.sock")
    a.home = a.root / ("x" * (room + 1))
    assert "107" in a.refused("HOME", "init") and not a.home.exists()
    done = run_agent(a)
    assert done.returncode == 4 and "107" in done.stderr and "108" in done.stderr
    a.home = a.root / ("x" * room)
    assert len(a.agent_sock) == 107
    a.init()
    a.start()
    assert a.ctl("status")["state"] == "ready"
    a.make_profile("shop", "sandbox", CLIENT_ID)
    assert sign(a)["version"] == 1


def test_not_initialised(bare):
    a = bare()
    done = run_agent(a)
    assert done.returncode == 4
    assert "NOT_INITIALISED" in done.stderr and f"antomctl --home {a.home} init" in done.stderr
    a.home.mkdir(mode=0o711)
    done = run_agent(a)
    assert done.returncode == 4 and "NOT_INITIALISED" in done.stderr
    assert os.listdir(a.home) == []


# ---- one agent a home


def test_second_agent_is_refused(agent):
    agent.make_profile("shop", "sandbox", CLIENT_ID)
    before = set(os.listdir(agent.home))
    done = run_agent(agent)
    assert done.returncode == 4 and "IN_USE" in done.stderr
    assert re.search(rf"\bpid {agent.process.pid}\b", done.stderr)
    assert "ready" not in done.stdout and set(os.listdir(agent.home)) == before
    assert sign(agent)["version"] == 1  # the first one goes on, with its sockets


def test_stale_lock_and_sockets_do_not_matter(bare):
    a = bare()
    a.init()
    a.start()
    a.make_profile("shop", "sandbox", CLIENT_ID)
    a.kill()
    assert (a.home / "agent.sock").exists()
    a.start()
    assert sign(a)["version"] == 1


@pytest.mark.parametrize("name", ["agent.sock", "staff.sock"])
def test_a_file_where_a_socket_goes_stays(bare, name):
    a = bare()
    a.init()
    (a.home / name).write_bytes(b"mine")
    done = run_agent(a)
    assert done.returncode == 4 and "HOME" in done.stderr and name in done.stderr
    assert (a.home / name).read_bytes() == b"mine"


def test_home_that_others_can_write(bare):
    a = bare()
    a.init()
    a.home.chmod(0o777)
    done = run_agent(a)
    assert done.returncode == 4 and "HOME" in done.stderr and "0711" in done.stderr


def test_system_home_is_not_touched_by_tests(bare):
    """Without --home the system paths are meant; on a host without them both programs say so."""
    if os.path.exists("/var/lib/antom-agent"):
        return  # an installed agent; nothing to try here
    env = {k: v for k, v in os.environ.items() if not k.startswith("ANTOM_AGENT")}
    done = subprocess.run([BIN / "antom-agent"], capture_output=True, text=True, env=env, timeout=30 * SLOW)
    assert done.returncode == 4 and "/var/lib/antom-agent" in done.stderr


# ---- the passphrase seal


@pytest.fixture(scope="module")
def sealed():
    """An agent under a passphrase, with a profile; tests leave it unlocked."""
    a = Agent(seal="passphrase", passphrase=PASSPHRASE + "\n")
    a.start()
    assert a.ctl("status")["state"] == "locked"
    a.ctl("unlock", input=PASSPHRASE)
    a.make_profile("shop", "sandbox", CLIENT_ID)
    a.public = judge.load_public(a.ctl("key", "export", "shop/sandbox")["public_key"])
    yield a
    a.remove()


LOCKED_COMMANDS = [["app", "list"], ["app", "show", "shop"], ["profile", "show", "shop/sandbox"],
                   ["profile", "set", "shop/sandbox", "--client-id", "SANDBOX_x"], ["key", "list", "shop/sandbox"],
                   ["key", "generate", "shop/sandbox"], ["key", "suspend", "shop/sandbox", "1"],
                   ["key", "export", "shop/sandbox"], ["grant", "list"], ["grant", "remove", "1"],
                   ["antom-key", "list"], ["fence", "list"]]


def check_locked(a, reason):
    """Nothing but hello, health, status, doctor, version and unlock; the reason everywhere."""
    status = a.ctl("status")
    assert status["state"] == "locked" and reason in status["reason"]
    assert not [r for r in status["roles"] if r["role"] == "keeper" and r["pid"]]
    for told in hello_and_health(a):
        assert told["state"] == "locked" and reason in told["reason"]
        assert all(p.get("sign") == p.get("verify") == "LOCKED" for p in told["profiles"])
    assert reason in sign_fails(a, "LOCKED")
    with Client(a.agent_sock) as client:
        for method in ("verify_response", "verify_notification"):
            with pytest.raises(AntomError) as error:
                client.call(method, profile="shop/sandbox", method="POST", uri=PAY, headers={}, body=b"")
            assert error.value.name == "LOCKED"
    for args in LOCKED_COMMANDS:
        assert reason in a.refused("LOCKED", *args)
    assert a.ctl("version")["version"]
    done = a.ctl_raw("--json", "doctor")
    assert done.returncode == 4
    assert any(not c["ok"] and "unlock" in c.get("remedy", "") for c in json.loads(done.stdout)["checks"])


def test_starts_locked(sealed):
    sealed.stop()
    sealed.start()
    check_locked(sealed, "passphrase")
    assert sealed.ctl("unlock", input=PASSPHRASE) == {"state": "ready"}
    assert judge_sign(sealed, sealed.public)["version"] == 1


def test_wrong_passphrase_stays_locked(sealed, tmp_path):
    sealed.ctl("lock")
    for wrong in (PASSPHRASE[:-1], PASSPHRASE + "x", PASSPHRASE.upper(), " " + PASSPHRASE, "x" * 1024):
        sealed.refused("WRONG_PASSPHRASE", "unlock", input=wrong)
        assert sealed.ctl("status")["state"] == "locked"
    sealed.refused("BAD_PARAM", "unlock", input="")
    sign_fails(sealed, "LOCKED")
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\r\n")
    assert sealed.ctl("unlock", "--passphrase-file", tmp_path / "passphrase") == {"state": "ready"}
    assert judge_sign(sealed, sealed.public)["version"] == 1
    assert PASSPHRASE not in sealed.log_text()


def test_unlock_after_long(sealed):
    """However long it was locked: when `unlock` returns, the profile signs. A keeper that was down for longer
    than the 8 s that it has to come back is not given up before it could start."""
    sealed.ctl("lock")
    time.sleep(8.5)
    sealed.ctl("unlock", input=PASSPHRASE)
    assert judge_sign(sealed, sealed.public)["version"] == 1


def test_lock_wipes(sealed):
    """The process that held the keys is gone; the others go on; unlock brings everything back."""
    for _ in range(2):
        before = {r["role"]: r["pid"] for r in sealed.roles()}
        assert sealed.ctl("lock") == {"state": "locked"}
        assert gone(before["keeper"]), "the keeper still runs when the command has returned"
        check_locked(sealed, "locked by staff")
        sealed.refused("LOCKED", "lock")
        sealed.ctl("unlock", input=PASSPHRASE)
        after = {r["role"]: r["pid"] for r in sealed.roles()}
        assert after.pop("keeper") != before.pop("keeper") and after == before
        assert judge_sign(sealed, sealed.public)["version"] == 1
        assert sealed.ctl("unlock", input="anything") == {"state": "ready"}  # it is open, nothing is asked


def test_lock_while_a_connection_waits(sealed):
    """Connections outlive the lock."""
    with Client(sealed.agent_sock, timeout=20 * SLOW) as client:
        def call():
            return client.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b"{}")
        assert call()["version"] == 1
        sealed.ctl("lock")
        with pytest.raises(AntomError) as error:
            call()
        assert error.value.name == "LOCKED"
        sealed.ctl("unlock", input=PASSPHRASE)
        assert call()["version"] == 1


def test_strangers_neither_lock_nor_unlock(sealed):
    sealed.refused("NOT_STAFF", "lock", uid=OTHER_UID)
    assert sealed.ctl("status")["state"] == "ready"
    sealed.ctl("lock")
    sealed.refused("NOT_STAFF", "unlock", input=PASSPHRASE, uid=OTHER_UID)
    assert sealed.ctl("status")["state"] == "locked"
    sealed.ctl("unlock", input=PASSPHRASE)


def test_file_seal_opens_again(agent):
    agent.make_profile("shop", "sandbox", CLIENT_ID)
    public = judge.load_public(agent.ctl("key", "export", "shop/sandbox")["public_key"])
    agent.ctl("lock")
    check_locked(agent, "locked by staff")
    assert agent.ctl("unlock") == {"state": "ready"}
    judge_sign(agent, public)
    agent.ctl("lock")
    agent.stop()
    agent.start()  # a restart opens it as well
    judge_sign(agent, public)


# ---- seals that do not open


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    rewrite(path, data)


def rewrite(path, data):
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o400)


BROKEN_SEALS = {
    "first byte": (lambda p: flip(p, 0), "damaged"),
    "a byte of the key": (lambda p: flip(p, len(p.read_bytes()) // 2), "damaged"),
    "last byte": (lambda p: flip(p, -1), "damaged"),
    "cut": (lambda p: rewrite(p, p.read_bytes()[:-1]), "damaged"),
    "grown": (lambda p: rewrite(p, p.read_bytes() + b"\0"), "damaged"),
    "empty": (lambda p: rewrite(p, b""), "damaged"),
    "64 KiB": (lambda p: rewrite(p, bytes(65536)), "damaged"),
    "others can read it": (lambda p: p.chmod(0o644), "0644"),
    "the group can read it": (lambda p: p.chmod(0o440), "0440"),
    "another owner": (lambda p: os.chown(p, OTHER_UID, OTHER_UID), str(OTHER_UID)),
    "a link": (lambda p: (p.rename(p.with_name("elsewhere")), p.symlink_to("elsewhere")), "root.seal"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "root.seal"),
    "a pipe": (lambda p: (p.unlink(), os.mkfifo(p, 0o400)), "root.seal"),
}


@pytest.fixture(scope="module")
def stopped():
    """A home with a profile; its agent does not run. `keep` is a copy of it."""
    a = Agent()
    a.start()
    a.make_profile("shop", "sandbox", CLIENT_ID)
    a.public = judge.load_public(a.ctl("key", "export", "shop/sandbox")["public_key"])
    a.stop()
    a.keep = a.root / "keep"
    shutil.copytree(a.home, a.keep)
    yield a
    a.remove()


def restore(a):
    """The home as it was."""
    if a.process is not None:
        a.stop()
    shutil.rmtree(a.home)
    shutil.copytree(a.keep, a.home)


@pytest.mark.parametrize("name", BROKEN_SEALS)
def test_seal_that_does_not_open(stopped, name):
    """The agent runs, says why, signs nothing, and opens when the seal is back."""
    a = stopped
    seal = a.home / "root.seal"
    breaks, words = BROKEN_SEALS[name]
    breaks(seal)
    try:
        a.start()
        check_locked(a, words)
        assert words in a.refused("SEAL", "unlock")
        if seal.is_dir() and not seal.is_symlink():
            seal.rmdir()
        else:
            seal.unlink()
        assert "root.seal" in a.refused("NOT_INITIALISED", "unlock")  # a running agent whose seal is gone
        shutil.copy2(a.keep / "root.seal", seal)
        assert a.ctl("unlock") == {"state": "ready"}
        judge_sign(a, a.public)
    finally:
        restore(a)


def test_seal_that_is_missing_at_the_start(stopped):
    a = stopped
    (a.home / "root.seal").unlink()
    done = run_agent(a)
    assert done.returncode == 4 and "NOT_INITIALISED" in done.stderr
    restore(a)


def test_seal_of_another_home(stopped):
    """A root key that is whole, and another: no row verifies under it."""
    a = stopped
    other = Agent()
    rewrite(a.home / "root.seal", (other.home / "root.seal").read_bytes())
    other.remove()
    try:
        a.start()
        status = a.ctl("status")
        assert status["state"] == "failed" and status["reason"]
        sign_fails(a, "REGISTRY")
    finally:
        restore(a)


# ---- restart


def everything(a):
    told = {name: a.ctl(*name.split()) for name in
            ("app list", "app show shop", "profile show shop/sandbox", "profile show shop/live", "grant list",
             "fence list", "key list shop/sandbox", "key list shop/live", "antom-key list")}
    for row in [*told["key list shop/sandbox"]["keys"], *told["antom-key list"]["antom_keys"]]:
        row.pop("until_ms", None)  # counts running time
    return told


def test_restart_keeps_everything(agent, antom_key):
    a = agent
    a.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
    for _ in range(3):
        a.ctl("key", "generate", "shop/sandbox")
    a.ctl("key", "activate", "shop/sandbox", 2)
    a.ctl("key", "set", "shop/sandbox", 2, "--key-version", 4)
    a.ctl("key", "suspend", "shop/sandbox", 3, "--reason", "余额 ❤")
    a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(judge.new_key()))
    a.ctl("fence", "add", "shop/sandbox", "--path", "/ams/v1/aba/*")
    a.ctl("profile", "set", "shop/live", "--client-id", "5Ylive", "--notify-url", "https://shop.example/n?a=b")
    before, epoch = everything(a), a.ctl("status")["epoch"]
    public = judge.load_public(a.ctl("key", "export", "shop/sandbox")["public_key"])
    for end in (a.stop, a.kill, a.stop):
        end()
        a.start()
        assert everything(a) == before
        assert a.ctl("status")["epoch"] >= epoch
        got = judge_sign(a, public)
        assert (got["version"], got["key_version"]) == (2, 4)
        with Client(a.agent_sock) as client:
            headers = judge.response(antom_key, SENT, CLIENT_ID, b"x")
            assert client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=headers,
                               body=b"x")["version"] == 1
    assert a.ctl("key", "generate", "shop/sandbox")["version"] == 5


# ---- SIGTERM


class Bursts(threading.Thread):
    """Sends bursts in one write each and reads their answers, until the agent closes the connection."""

    SIZE = 24

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.whole, self.last, self.failure = path, 0, None, None
        self.good = []

    def run(self):
        try:
            with Client(self.path, timeout=60 * SLOW) as client:
                while self.burst(client):
                    self.whole += 1
        except Exception as error:
            self.failure = error

    def burst(self, client):
        bodies = {n: os.urandom(16) for n in range(self.SIZE)}
        answers = {}
        self.last = answers
        try:
            client.send_raw(b"".join(frame([0, n, "sign_request", dict(
                profile="shop/sandbox", method="POST", uri=PAY, body=body)]) for n, body in bodies.items()))
            while len(answers) < self.SIZE:
                message = client.recv_message()
                if message == [2, "draining", {}]:
                    continue
                _, n, error, result = message
                assert n not in answers, "answered twice"
                answers[n] = error or result
                assert error is None or error["class"] == "retry", error
                if error is None:
                    self.good.append((bodies[n], result))
        except AntomError as error:
            assert error.name == "UNREACHABLE", error
            return False
        return True


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2])
def test_sigterm_under_load(agent, delay):
    """What the agent has read is answered; then it ends with status 0, and a new one goes on."""
    agent.make_profile("shop", "sandbox", CLIENT_ID)
    public = judge.load_public(agent.ctl("key", "export", "shop/sandbox")["public_key"])
    load = [Bursts(agent.agent_sock) for _ in range(6)]
    for t in load:
        t.start()
    wait_for("some bursts", lambda: all(t.whole >= 1 or not t.is_alive() for t in load))
    time.sleep(delay)
    started = time.monotonic()
    agent.stop()
    assert time.monotonic() - started < 8 * SLOW
    for t in load:
        t.join(60 * SLOW)
        assert not t.is_alive() and t.failure is None, t.failure
        # a burst is one write, and read as one: if one of it was taken, all of it was
        assert len(t.last) in (0, t.SIZE), f"{len(t.last)} of {t.SIZE} answered"
        for body, result in t.good:
            judge.judge_request(public, "POST", SENT, CLIENT_ID, result["headers"], body)
    agent.start()
    judge_sign(agent, public)


def test_sigterm_ends_every_role(agent):
    pids = [r["pid"] for r in agent.roles()]
    with Client(agent.agent_sock), Client(agent.staff_sock):  # silent connections hold nothing up
        started = time.monotonic()
        agent.stop()
        assert time.monotonic() - started < 5 * SLOW
    assert all(gone(pid) for pid in pids)


def test_sigint_ends_it_as_well(agent):
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(timeout=30 * SLOW) == 0


# ---- agent.conf


BAD_CONF = [  # text, line of the fault, what the message says
    ("[limits]\nrequests_per_connection = 0\n", 2, ["requests_per_connection", "from 1 to 4096"]),
    ("[limits]\nrequests_per_connection = 4097\n", 2, ["requests_per_connection", "4096"]),
    ("[limits]\nconnections_per_uid = 20001\n", 2, ["connections_per_uid", "20000"]),
    ("[limits]\n\n\nrequests_per_connection = ten\n", 4, ["requests_per_connection", "ten", "digits"]),
    ("[limits]\nrequests_per_connection = -1\n", 2, ["requests_per_connection", "-1"]),
    ("[log]\nlevel = verbose\n", 2, ["level", "verbose", "error|warn|info|debug"]),
    ("[log]\nlevle = debug\n", 2, ["levle", "level"]),
    ("[lgo]\nlevel = debug\n", 1, ["lgo", "[log]"]),
    ("level = debug\n", 1, ["level", "section"]),
    ("[log]\nlevel = debug\n[policy]\n[log]\nlevel = info\n", 5, ["level", "twice"]),
    ("[log]\nlevel\n", 2, ["key = value"]),
    ("[log\nlevel = debug\n", 1, ["[NAME]"]),
    ("[keys]\nantom_overlap_ms = 3600000\n", 2, ["antom_overlap_ms", "90000000"]),
    ("[keyring A]\n", 1, ["keyring", "a-z"]),
    ("[keyring soft]\ntype = tpm2\n", 2, ["type", "tpm2", "soft"]),
    ("[log]\nlevel = deb\x01ug\n", 2, ["0x01"]),
]


@pytest.mark.parametrize("text, line, words", BAD_CONF, ids=[row[0][:40] for row in BAD_CONF])
def test_bad_conf_at_the_start(stopped, text, line, words):
    a = stopped
    conf = a.home / "agent.conf"
    try:
        conf.write_text(text)
        done = run_agent(a)
        assert done.returncode == 2 and "CONF" in done.stderr
        for word in [f"{conf}:{line}", *words]:
            assert word in done.stderr
        assert done.stdout == "" and not (a.home / "agent.sock").exists()
    finally:
        restore(a)


@pytest.mark.parametrize("breaks, status, words", [
    (lambda p: p.unlink(), 7, "agent.conf"),
    (lambda p: p.write_bytes(b"#" * 70000), 2, "65536"),
    (lambda p: p.write_bytes(b"[log]\0\n"), 2, "NUL"),
    (lambda p: (p.unlink(), p.mkdir()), 2, "not a file"),
    (lambda p: (p.unlink(), os.mkfifo(p)), 2, "not a file"),
], ids=["missing", "too long", "NUL", "a folder", "a pipe"])
def test_conf_that_cannot_be_read(stopped, breaks, status, words):
    a = stopped
    try:
        breaks(a.home / "agent.conf")
        done = run_agent(a)
        assert done.returncode == status and words in done.stderr, done.stderr
    finally:
        restore(a)


def limit_told(a):
    return hello_and_health(a)[0]["limits"]["requests_per_connection"]


def test_sighup(agent):
    """A good file applies, without a lost connection; a bad one changes nothing and is named in the log."""
    a = agent
    a.make_profile("shop", "sandbox", CLIENT_ID)
    conf = a.home / "agent.conf"
    before = [r["pid"] for r in a.roles()]
    with Client(a.agent_sock, timeout=20 * SLOW) as client:
        client.call("hello")
        conf.write_text("[limits]\nrequests_per_connection = 7\n")
        a.process.send_signal(signal.SIGHUP)
        wait_for("the new limit", lambda: limit_told(a) == 7)
        for n, (text, line, words) in enumerate(BAD_CONF, 1):
            conf.write_text(text)
            a.process.send_signal(signal.SIGHUP)
            refusals = wait_for("the refusal", lambda: (
                found := [x for x in a.log_text().splitlines() if "conf.refused_old_one_stays" in x])
                and len(found) == n and found)
            for word in [f"{conf}:{line}", *words]:
                assert word in refusals[-1]
            assert limit_told(a) == 7
        conf.write_text("[limits]\nrequests_per_connection = 3\n[front]\nthreads = 9\n")  # fixed while it runs
        a.process.send_signal(signal.SIGHUP)
        wait_for("the refusal", lambda: "[front] threads changes only with a restart" in a.log_text())
        assert limit_told(a) == 7
        conf.write_text("[limits]\nrequests_per_connection = 2\n[log]\nlevel = debug\n")
        a.process.send_signal(signal.SIGHUP)
        wait_for("the new limit", lambda: limit_told(a) == 2)
        assert client.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b"")["version"] == 1
        ids = [client.send("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b"") for _ in range(60)]
        names = []
        for i in ids:
            try:
                client.collect(i)
            except AntomError as error:
                names.append(error.name)
        assert "BUSY" in names and set(names) == {"BUSY"}  # it holds for connections that are open
    assert [r["pid"] for r in a.roles()] == before


def test_policy_applies_on_sighup(agent, antom_key):
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
    headers = judge.response(antom_key, SENT, CLIENT_ID, b"{}", time=judge.now_iso(-300))

    def verdict():
        with Client(agent.agent_sock) as client:
            try:
                return client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=headers,
                                   body=b"{}")["version"]
            except AntomError as error:
                return error.name
    assert verdict() == 1
    (agent.home / "agent.conf").write_text("[policy]\nresponse_max_age_ms = 60000\n")
    agent.process.send_signal(signal.SIGHUP)
    wait_for("the new age", lambda: verdict() == "TOO_OLD")
    (agent.home / "agent.conf").write_text("")
    agent.process.send_signal(signal.SIGHUP)
    wait_for("the default age", lambda: verdict() == 1)


# ---- a registry edited by hand


@pytest.fixture(scope="module")
def edited():
    """A home with something in every table, not running; `keep` is it, `old` what it was one step earlier."""
    a = Agent()
    a.start()
    a.make_profile("shop", "sandbox", CLIENT_ID)
    a.ctl("key", "generate", "shop/sandbox")
    a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(judge.new_key()))
    a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(judge.new_key()))
    a.ctl("fence", "add", "shop/sandbox", "--path", "/ams/v1/aba/*")
    a.ctl("fence", "add", "shop/sandbox", "--path", "/ams/v1/abb/*")
    a.public = judge.load_public(a.ctl("key", "export", "shop/sandbox")["public_key"])
    more = a.ctl("grant", "add", "shop/sandbox", "--uid", 4711, "--ops", "sign")["grant"]
    a.stop()
    a.old = a.root / "old.db"
    shutil.copy2(a.home / "registry.db", a.old)
    a.start()
    a.ctl("profile", "set", "shop/sandbox", "--gateway", "https://open-na-global.alipay.com")
    a.ctl("key", "suspend", "shop/sandbox", 2)
    a.ctl("grant", "remove", more)
    a.ctl("antom-key", "revoke", "shop/sandbox", 1)
    a.stop()
    a.keep = a.root / "keep"
    shutil.copytree(a.home, a.keep)
    yield a
    a.remove()


EDITS = {
    "app": ("UPDATE app SET description = 'x'", "table app, row 1"),
    "profile": ("UPDATE profile SET gateway = 'https://evil.example' WHERE name = 'shop/sandbox'", "table profile, row 1"),
    "client id": ("UPDATE profile SET client_id = 'SANDBOX_evil' WHERE name = 'shop/sandbox'", "table profile, row 1"),
    "stopped key activated": ("UPDATE merchant_key SET state = 0 WHERE version = 2", "table merchant_key, row 2"),
    "key version": ("UPDATE merchant_key SET key_version = 5 WHERE version = 1", "table merchant_key, row 1"),
    "sealed bytes": ("UPDATE merchant_key SET sealed = zeroblob(length(sealed)) WHERE version = 1",
                     "table merchant_key, row 1"),
    "revoked Antom key activated": ("UPDATE antom_key SET state = 2 WHERE version = 1", "table antom_key, row 1"),
    "Antom key replaced": ("UPDATE antom_key SET spki = randomblob(294) WHERE version = 2", "table antom_key, row 2"),
    "grant": ("UPDATE caller_grant SET number = 10001", "table caller_grant, row 1"),
    "grant widened": ("UPDATE caller_grant SET ops = 7", "table caller_grant, row 1"),
    "fence": ("UPDATE fence_exception SET path = '/**' WHERE id = 1", "table fence_exception, row 1"),
    "staff": ("UPDATE staff SET uid = 10001", "table staff, row 1"),
    "epoch": ("UPDATE meta SET epoch = epoch + 100", "table meta, row 1"),
    "digests": ("UPDATE meta SET digests = zeroblob(length(digests))", "table meta, row 1"),
    "intent inserted": ("INSERT INTO key_intent (mac, profile_id, version, keyring) VALUES (randomblob(32), 1, 9, 'soft')",
                        "table key_intent, row"),
    "grant inserted": ("INSERT INTO caller_grant (mac, profile_id, who, number, unit, ops, query, max_body, methods, "
                       "paths) SELECT mac, profile_id, who, 10001, unit, ops, query, max_body, methods, paths "
                       "FROM caller_grant", "table caller_grant, row"),
    "staff inserted": ("INSERT INTO staff (mac, uid, roles, mail) VALUES (randomblob(32), 10001, 7, '')", "table staff, row"),
    "app deleted": ("PRAGMA foreign_keys = OFF; DELETE FROM app", "table app"),
    "key deleted": ("DELETE FROM merchant_key WHERE version = 2", "table merchant_key"),
    "Antom key deleted": ("DELETE FROM antom_key WHERE version = 2", "table antom_key"),
    "grant deleted": ("DELETE FROM caller_grant", "table caller_grant"),
    "fence deleted": ("DELETE FROM fence_exception WHERE id = 2", "table fence_exception"),
    "staff deleted": ("DELETE FROM staff", "table staff"),
    "old profile put back": ("DELETE FROM profile WHERE id = 1; INSERT INTO profile SELECT * FROM old.profile WHERE id = 1",
                             "table profile"),
    "stopped key put back": ("DELETE FROM merchant_key WHERE id = 2; "
                             "INSERT INTO merchant_key SELECT * FROM old.merchant_key WHERE id = 2", "table merchant_key"),
    "revoked Antom key put back": ("DELETE FROM antom_key WHERE id = 1; "
                                   "INSERT INTO antom_key SELECT * FROM old.antom_key WHERE id = 1", "table antom_key"),
    "removed grant put back": ("INSERT INTO caller_grant SELECT * FROM old.caller_grant WHERE number = 4711",
                               "table caller_grant"),
    "old meta put back": ("DELETE FROM meta; INSERT INTO meta SELECT * FROM old.meta", "table"),
    "trigger": ("CREATE TRIGGER evil AFTER INSERT ON app BEGIN DELETE FROM staff; END", "sqlite_schema"),
    "table dropped": ("DROP TABLE fence_exception", "table sqlite_schema"),
}


def edit(path, old, sql):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(f"ATTACH '{old}' AS old")
        db.executescript(sql)
        db.commit()


def check_failed(a, words):
    """It runs and says what is wrong, by name; nothing is signed and nothing verified."""
    status = a.ctl("status")
    assert status["state"] == "failed" and words in status["reason"], status
    for told in hello_and_health(a):
        assert told["state"] == "failed" and words in told["reason"] and told["profiles"] == []
    assert words in sign_fails(a, "REGISTRY")
    assert words in a.refused("REGISTRY", "key", "list", "shop/sandbox")
    assert words in a.refused("REGISTRY", "unlock")
    done = a.ctl_raw("--json", "doctor")
    assert done.returncode == 4
    assert any(not c["ok"] and words in c["message"] for c in json.loads(done.stdout)["checks"])


@pytest.mark.parametrize("name", EDITS)
def test_edited_registry(edited, name):
    a = edited
    sql, words = EDITS[name]
    edit(a.home / "registry.db", a.old, sql)
    try:
        a.start()
        check_failed(a, words)
    finally:
        restore(a)


def test_registry_put_back_opens_without_a_restart(edited):
    a = edited
    edit(a.home / "registry.db", a.old, EDITS["profile"][0])
    try:
        a.start()
        check_failed(a, "table profile")
        for more in ("registry.db-wal", "registry.db-shm"):
            (a.home / more).unlink(missing_ok=True)
        shutil.copy2(a.keep / "registry.db", a.home / "registry.db")
        assert a.ctl("unlock") == {"state": "ready"}
        judge_sign(a, a.public)
    finally:
        restore(a)


@pytest.mark.parametrize("breaks", [
    lambda p: p.unlink(), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"x" * 8192),
    lambda p: p.write_bytes(p.read_bytes()[:4096]), lambda p: p.write_bytes(p.read_bytes()[:-4096]),
], ids=["missing", "empty", "no database", "first page alone", "last page missing"])
def test_registry_that_is_none(edited, breaks):
    a = edited
    breaks(a.home / "registry.db")
    try:
        a.start()
        status = a.ctl("status")
        assert status["state"] == "failed" and "registry" in status["reason"], status
        sign_fails(a, "REGISTRY")
    finally:
        restore(a)


def test_edited_while_it_runs(edited):
    """An edit under a running agent: signing goes on from what was verified, and no command takes the edit."""
    a = edited
    a.start()
    try:
        judge_sign(a, a.public)
        with contextlib.closing(sqlite3.connect(a.home / "registry.db", timeout=10)) as db:
            db.execute("UPDATE caller_grant SET ops = 7, number = 10001")
            db.commit()
        assert "caller_grant" in a.refused("REGISTRY", "grant", "list")
        assert "caller_grant" in a.refused("REGISTRY", "key", "generate", "shop/sandbox")
        a.refused("REGISTRY", "grant", "add", "shop/sandbox", "--uid", 1, "--ops", "sign")
        judge_sign(a, a.public)
        assert a.ctl("status")["pid"] == a.process.pid
        assert a.ctl_raw("--json", "doctor").returncode == 4
    finally:
        restore(a)


# ---- what the processes show


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())


def test_protections_of_every_role(agent):
    agent.make_profile("shop", "sandbox", CLIENT_ID)
    roles = agent.roles()
    assert {r["role"] for r in roles} == {"supervisor", "front", "keeper", "steward", "courier"}
    for r in roles:
        status = status_of(r["pid"])
        assert status["NoNewPrivs"].strip() == "1", r
        assert int(status["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1, r
        limits = pathlib.Path(f"/proc/{r['pid']}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M), r
        if not SANITIZED:  # sanitizers replace mlock()
            assert int(status["VmLck"].split()[0]) > 0, r


LISTENERS = {"supervisor": {"agent.sock", "staff.sock"}, "front": {"agent.sock"}, "steward": {"staff.sock"}, "keeper": set(),
             "courier": set()}
FILES = {"supervisor": {"lock"}, "front": set(), "courier": set(), "keeper": {"audit/soft", "audit/soft/00000001.jsonl"},
         "steward": {"registry.db", "registry.db-wal", "registry.db-shm", "audit/steward",
                     "audit/steward/00000001.jsonl"}}


def test_descriptors_of_every_role(bare):
    """Each holds its own, and nothing that the agent inherited."""
    a = bare()
    a.init()
    extra = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(3)]
    pipe = os.pipe()
    a.process = subprocess.Popen(a.agent_command(), stdout=subprocess.PIPE, stderr=open(a.log, "ab"), env=a.env(),
                                 pass_fds=[*extra, pipe[1]])
    for fd in [*extra, *pipe]:
        os.close(fd)
    a.wait_ready()
    a.make_profile("shop", "sandbox", CLIENT_ID)
    sign(a)
    listening = {}
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if len(words) == 8 and words[7].startswith(str(a.home)) and int(words[3], 16) & 0x10000:
            listening[f"socket:[{words[6]}]"] = os.path.basename(words[7])
    for r in a.roles():
        if r["role"] == "opener":
            continue
        files, listeners = set(), set()
        for fd in os.listdir(f"/proc/{r['pid']}/fd"):
            target = os.readlink(f"/proc/{r['pid']}/fd/{fd}")
            if target in listening:
                listeners.add(listening[target])
            elif target.startswith("/") and target not in ("/dev/null", str(a.log)) \
                    and not target.startswith(str(a.reports)):
                files.add(target.removeprefix(f"{a.home}/"))
            else:
                assert re.match(r"(socket|pipe|anon_inode):|/dev/null|" + re.escape(str(a.root)), target), target
        assert files == FILES[r["role"]], r
        assert listeners == LISTENERS[r["role"]], r


# ---- as an ordinary user

LOOK = r"""
import ctypes, errno, json, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ATTACH, DETACH = 16, 17
def attach(pid):
    if libc.ptrace(ATTACH, pid, None, None) != 0:
        return errno.errorcode[ctypes.get_errno()]
    os.waitpid(pid, 0x40000000)
    libc.ptrace(DETACH, pid, None, None)
    return "attached"
def opens(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags))
        return "opened"
    except OSError as e:
        return errno.errorcode[e.errno]
def look(pid):
    found = {name: opens(f"/proc/{pid}/{name}") for name in ("mem", "environ", "maps", "auxv", "io")}
    found["attach"] = attach(pid)
    found["uid"] = os.stat(f"/proc/{pid}/mem").st_uid
    return found
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
told = {"child": look(child)}
os.kill(child, 9)
for pid in sys.argv[1:]:
    told[pid] = look(int(pid))
print(json.dumps(told))
"""


@pytest.fixture
def ordinary(monkeypatch):
    """An agent of uid 10001 on a home of its own, from a copy of the programs that this user can reach."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="antag-bin-"))
    folder.chmod(0o755)
    for name in ("antom-agent", "antomctl"):
        shutil.copy(BIN / name, folder / name)
        (folder / name).chmod(0o755)
    monkeypatch.setattr(agent_fixture, "BIN", folder)
    a = Agent(uid=OTHER_UID)
    try:
        a.start()
        yield a
    finally:
        a.remove()
        shutil.rmtree(folder)


def test_ordinary_user_end_to_end(ordinary, antom_key, tmp_path):
    """Init, keys, signing and verifying without any privilege; root is a stranger to this agent."""
    a = ordinary
    a.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
    for r in a.roles():
        status = status_of(r["pid"])
        assert status["Uid"].split() == [str(OTHER_UID)] * 4
        assert status["CapEff"].strip() == status["CapPrm"].strip() == "0" * 16
    a.ctl("key", "import", "shop/sandbox", input=judge.pkcs8(judge.new_key()))
    a.ctl("key", "activate", "shop/sandbox", 2)
    public = judge.load_public(a.ctl("key", "export", "shop/sandbox")["public_key"])
    got = a.ctl("sign", "shop/sandbox", "POST", PAY, "--body", "-", input=b'{"a":1}')
    assert got["version"] == 2
    judge.judge_request(public, "POST", SENT, CLIENT_ID, got["headers"], b'{"a":1}')
    headers = [f"{name}: {value}" for name, value in judge.response(antom_key, SENT, CLIENT_ID, b"answer").items()]
    options = [word for h in headers for word in ("--header", h)]
    assert a.ctl("verify", "response", "shop/sandbox", "POST", PAY, *options, "--body", "-", input=b"answer")["version"] == 1
    assert a.refused("SIGNATURE_INVALID", "verify", "response", "shop/sandbox", "POST", PAY, *options, "--body", "-",
                     input=b"other")
    sign_fails(a, "DENIED")  # root has no grant
    a.refused("NOT_STAFF", "app", "list", uid=0)
    assert {facts[2] for facts in contents(a.home).values()} == {OTHER_UID}
    a.stop()
    a.start()
    assert a.ctl("sign", "shop/sandbox", "POST", PAY, "--body", "-", input=b"x")["version"] == 2


def test_same_user_cannot_look_inside(ordinary):
    """Another process of the agent's own user neither traces a role nor reads its memory."""
    a = ordinary
    a.make_profile("shop", "sandbox", CLIENT_ID)
    pids = [str(r["pid"]) for r in a.roles()]
    script = a.root / "look.py"
    script.write_text(LOOK)
    done = subprocess.run([*as_uid(OTHER_UID), "/usr/bin/python3", str(script), *pids], capture_output=True, text=True,
                          timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    child = told.pop("child")
    assert child["attach"] == "attached" and child["mem"] == "opened", "this host forbids it to everybody"
    assert len(told) == 5
    for pid, found in told.items():
        assert found["attach"] == "EPERM", (pid, found)
        assert found["mem"] in ("EACCES", "EPERM") and found["environ"] in ("EACCES", "EPERM"), (pid, found)
        assert found["maps"] in ("EACCES", "EPERM") and found["io"] in ("EACCES", "EPERM"), (pid, found)
        assert found["uid"] == 0, "its files in /proc belong to the user"


def test_a_home_of_another_user(ordinary):
    """Root does not run an agent on a home that is not root's, and leaves nothing there."""
    a = ordinary
    a.stop()
    before = contents(a.home)
    done = subprocess.run([agent_fixture.BIN / "antom-agent", "--home", a.home], capture_output=True, text=True,
                          env=a.env(), timeout=60 * SLOW)
    assert done.returncode == 4 and "HOME" in done.stderr and str(OTHER_UID) in done.stderr
    assert contents(a.home) == before
    a.start()
