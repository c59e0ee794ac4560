"""The record on real file systems: one that fills up, one that takes no writes, one that stands still. Signing goes
on while it can be recorded, stops always act, and nothing that was answered is missing."""
import contextlib
import os
import pathlib
import subprocess
import threading
import time

import chain_judge
from agent_fixture import BIN, SLOW, Agent
from antom_client import AntomError, Client
from signing import LIVE, PAY, SANDBOX, refusal, sign, wait_until


class Mounted(Agent):
    """Its record lies on a file system of its own, which only its processes see mounted."""

    def __init__(self, what, conf=None):
        super().__init__(conf=conf)
        self.what = what
        (self.home / "audit").mkdir(mode=0o700)

    def agent_command(self):
        mount = f'mount {self.what} "$1/audit" && exec "$2" --home "$1"'
        return ["unshare", "-m", "sh", "-c", mount, "sh", str(self.home), str(BIN / "antom-agent")]

    def within(self, *command):
        """A command that sees the file system; it stands on the audit folder."""
        subprocess.run(["nsenter", "-t", str(self.process.pid), "-m", *command, str(self.home / "audit")], check=True,
                       timeout=60)

    @property
    def audit(self):
        return pathlib.Path(f"/proc/{self.process.pid}/root{self.home}/audit")

    def fill(self, leave):
        """Takes what is free but `leave` bytes; and gives it back."""
        free = os.statvfs(self.audit)
        with open(self.audit / "filler", "wb") as f:
            os.posix_fallocate(f.fileno(), 0, max(free.f_bavail * free.f_bsize - leave, 1))

    def make_room(self):
        (self.audit / "filler").unlink()

    def make_profiles(self):
        self.make_profile("shop", "sandbox", "SANDBOX_5X00000000000001")
        self.make_profile("shop", "live", "5X00000000000001")


def signs(agent, answered):
    """It signed again, and `answered` has one more."""
    try:
        answered.append(sign(agent, SANDBOX)["record"])
    except AntomError as error:
        assert error.name == "AUDIT", error
        return False
    return True


def all_is_there(agent, answered, deeds):
    """Every answered signature once, and what staff did, to the last."""
    def told():
        chain = chain_judge.Record(agent.audit).chains.get("steward")  # none before the first line
        return [d["what"] for d in chain.deeds() if not d["what"].startswith("agent.")] if chain else []

    wait_until("what was done to be copied", lambda: told()[-len(deeds):] == deeds, 90)
    soft = chain_judge.Record(agent.audit).chains["soft"]
    assert [soft.of(r)["type"] for r in answered] == ["sign"] * len(answered)
    assert len(set(answered)) == len(answered)


def test_disk_full():
    """Signing goes on while it can be recorded and then refuses; stops act all the same; with room again all goes on,
    and nothing that was answered or done is missing."""
    a = Mounted("-t tmpfs -o size=4m,mode=700 tmpfs", "[audit]\nreserve_bytes = 262144\nsegment_max_bytes = 65536\n")
    try:
        a.start()
        a.make_profiles()
        answered = [sign(a, SANDBOX)["record"]]
        a.fill(96 * 1024)
        with Client(a.agent_sock) as c:
            for _ in range(3000):
                try:
                    answered.append(c.call("sign_request", profile=SANDBOX, method="POST", uri=PAY, body=b"{}")["record"])
                except AntomError as error:
                    assert error.name == "AUDIT", error
                    break
            else:
                raise AssertionError("the disk was never full")
        assert len(answered) > 20
        assert a.ctl("key", "suspend", LIVE, 1, "--reason", "on a full disk")["state"] == "suspended"
        assert refusal(a, LIVE).name == "KEY_STATE"
        assert refusal(a, SANDBOX).name == "AUDIT"
        a.make_room()

        wait_until("signing to go on", lambda: signs(a, answered), 30)
        a.ctl("key", "resume", LIVE, 1)
        answered.append(sign(a, LIVE)["record"])
        all_is_there(a, answered, ["key_suspend", "key_resume"])
    finally:
        a.remove()


def test_read_only():
    """The agent starts; nothing is signed, a stop acts; once it can be written again everything goes on by itself."""
    a = Mounted("-t tmpfs -o ro,size=32m,mode=700 tmpfs")
    try:
        a.start()
        a.make_profiles()
        answered = []
        for profile in (SANDBOX, LIVE):
            error = refusal(a, profile)
            assert error.name == "AUDIT" and "Read-only file system" in a.log_text()
        assert a.ctl("key", "suspend", LIVE, 1, "--reason", "read-only")["state"] == "suspended"
        assert refusal(a, LIVE).name == "KEY_STATE"
        assert os.listdir(a.audit) == []
        a.within("mount", "-o", "remount,rw")
        wait_until("signing to go on", lambda: signs(a, answered), 30)
        a.ctl("key", "resume", LIVE, 1)
        answered.append(sign(a, LIVE)["record"])
        all_is_there(a, answered, ["key_suspend", "key_resume"])
    finally:
        a.remove()


@contextlib.contextmanager
def standing_still(agent, seconds):
    """The file system takes no writes for so long, whatever becomes of this test."""
    script = f'fsfreeze -f "$1" && echo && sleep {seconds}; fsfreeze -u "$1"'
    p = subprocess.Popen(["nsenter", "-t", str(agent.process.pid), "-m", "sh", "-c", script, "sh",
                          str(agent.home / "audit")], stdout=subprocess.PIPE)
    try:
        assert p.stdout.read(1), "it cannot be frozen"
        yield p
    finally:
        p.stdout.close()
        assert p.wait(60) == 0


def test_slow_device(tmp_path):
    """While the device does not answer nothing leaves; who gives a deadline is told in time, a stop acts at once, and
    when it answers everything that waited leaves, recorded."""
    image = tmp_path / "image"
    with open(image, "wb") as f:
        f.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True,
                   env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"})
    a = Mounted(f"-o loop {image}")
    try:
        a.start()
        a.make_profiles()
        answered, waiting = [sign(a, SANDBOX)["record"]], []
        still = 3 + SLOW
        with standing_still(a, still):
            began = time.monotonic()
            threads = [threading.Thread(target=lambda: waiting.append(sign(a, SANDBOX)["record"])) for _ in range(20)]
            for t in threads:
                t.start()
            assert refusal(a, SANDBOX, deadline_ms=300).name == "DEADLINE"
            assert a.ctl("key", "suspend", LIVE, 1, "--reason", "on a slow device")["state"] == "suspended"
            assert refusal(a, LIVE).name == "KEY_STATE"
            assert time.monotonic() - began < still, "this machine is too slow to show it"
            assert waiting == []
        for t in threads:
            t.join()
        answered += waiting
        assert len(answered) == 21
        a.ctl("key", "resume", LIVE, 1)
        answered.append(sign(a, LIVE)["record"])
        all_is_there(a, answered, ["key_suspend", "key_resume"])
    finally:
        a.remove()
