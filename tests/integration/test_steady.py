"""The steady state: what a request on the data plane allocates, what wakes an idle agent, what memory grows. Counted, not timed."""
import pathlib
import shutil
import struct
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

import judge
from agent_fixture import BIN, SLOW, Agent
from antom_client import Client

CLIENT_ID = "SANDBOX_5X00000000000001"
PAY, SENT = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"
ROLES = ("front", "keeper", "steward", "supervisor")


class Counting(Agent):
    """The agent with tests/support/countshim.c linked in."""

    def __init__(self):
        super().__init__()
        self.program = str(self.root / "antom-agent-counting")  # its counts come beside it
        shutil.copy(BIN / "antom-agent-counting", self.program)

    def allocations(self):
        """role -> (ours, OpenSSL's) so far"""
        pids = {role: self.process.pid if role == "supervisor" else self.pid_of(role, "soft" if role == "keeper" else "") for role in ROLES}
        return {role: struct.unpack("QQ", (self.root / f"counts.{pid}").read_bytes()) for role, pid in pids.items()}


@pytest.fixture
def counting(antom_key):
    with Counting() as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
        yield a


def signs(client, count):
    for n in range(count):
        client.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b'{"n":%d}' % (n % 10))


def verifies(client, count, headers):
    for _ in range(count):
        client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=headers, body=b"{}")


@pytest.mark.parametrize("what", ["sign", "verify"])
def test_no_allocation_for_a_request(counting, antom_key, what):
    """Buffers grow while the first come; then 3,000 more take nothing from the heap but what OpenSSL takes for itself."""
    headers = judge.response(antom_key, SENT, CLIENT_ID, b"{}")
    with Client(counting.agent_sock) as c:
        run = (lambda n: signs(c, n)) if what == "sign" else (lambda n: verifies(c, n, headers))
        run(500)
        before = counting.allocations()
        run(3000)
        after = counting.allocations()
    ours = {role: after[role][0] - before[role][0] for role in ROLES}
    openssls = {role: after[role][1] - before[role][1] for role in ROLES}
    assert ours["front"] < 30 and ours["keeper"] < 30, ours  # a hundredth of one a request: timers, the record's files
    assert ours["steward"] < 1500 and ours["supervisor"] < 1500, ours  # by time, not by request
    assert openssls["keeper" if what == "sign" else "front"] > 0  # the count counts


def switches(pid):
    """Wake-ups of all its threads so far."""
    total = 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def test_an_idle_agent_sleeps(antom_key):
    """A watchdog's question and answer at its interval, and nothing else."""
    with Agent() as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
        with Client(a.agent_sock) as c:
            signs(c, 10)
            time.sleep(3)  # what the work left behind ends: commits, counts
            pids = {role: a.process.pid if role == "supervisor" else a.pid_of(role, "soft" if role == "keeper" else "") for role in ROLES}
            before = {role: switches(pid) for role, pid in pids.items()}
            time.sleep(10)
            woken = {role: (switches(pid) - before[role]) / 10 for role, pid in pids.items()}
    assert all(w <= 3 for w in woken.values()), woken


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])


def test_memory_stays(antom_key, tmp_path):
    """A hundred thousand verifies and ten thousand signs after the first ones: not a page more than noise. The ten million are
    `packaging/bench --soak`."""
    key = tmp_path / "antom.pem"
    key.write_text(judge_pem(antom_key))
    with Agent() as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))

        def load(op, ms):
            done = subprocess.run([str(BIN / "antag-scale"), "--socket", str(a.agent_sock), "--pid", str(a.process.pid), "--key", str(key), "--op", op,
                                   "--connections", "8", "--depth", "4", "--ms", str(int(ms * SLOW))], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

        load("verify", 1000)
        load("sign", 1000)
        pids = {role: a.process.pid if role == "supervisor" else a.pid_of(role, "soft" if role == "keeper" else "") for role in ROLES}
        before = {role: resident(pid) for role, pid in pids.items()}
        load("verify", 2000)
        load("sign", 2000)
        after = {role: resident(pid) for role, pid in pids.items()}
    for role in ROLES:
        assert after[role] - before[role] < 512 * SLOW, (role, before, after)  # KiB


def judge_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
