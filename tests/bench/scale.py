"""What many connections, keys and large bodies cost, and what stays of it: `packaging/bench --scale [--quick]`, `--soak`. Rows of a table in turns on
one agent; memory is what a role has of its own (proportional set size)."""
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from agent_fixture import BIN, Agent  # noqa: E402
from antom_client import AntomError, Client  # noqa: E402
from wire import connect, frame  # noqa: E402

CLIENT_ID, PAY = "SANDBOX_5X00000000000001", "/ams/api/v1/payments/pay"
QUICK = "--quick" in sys.argv
ROUNDS, MS = (1, 300) if QUICK else (5, 1000)
KEYS = (1, 30) if QUICK else (1, 1000, 10000)
CONF = ("\n[audit]\ndurability = buffered\n[limits]\nconnections_per_uid = 12000\nrequests_per_uid = 16384\nrequests = 16384\n"
        "bytes_per_uid = 1073741824\nbytes = 1073741824\n")


def memory_mb(agent, role):
    pid = agent.process.pid if role == "supervisor" else agent.pid_of(role, "soft" if role == "keeper" else "")
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024


class Bench:
    def __init__(self, agent, key):
        self.agent, self.key = agent, key

    def load(self, op, connections=1, depth=1, body=300, idle=0, ms=MS):
        done = subprocess.run([str(BIN / "antag-scale"), "--socket", str(self.agent.agent_sock), "--pid", str(self.agent.process.pid), "--key", str(self.key),
                               "--op", op, "--connections", str(connections), "--depth", str(depth), "--body", str(body), "--idle", str(idle),
                               "--ms", str(ms)], capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def rows(self, shapes):
        """Each shape's medians; the shapes take turns."""
        got = [[] for _ in shapes]
        for n in range(ROUNDS + 1):
            for i, shape in enumerate(shapes):
                told = self.load(**shape)
                if n > 0 or ROUNDS == 1:
                    got[i].append(told)
        return [{k: statistics.median(t[k] for t in one) for k in one[0]} for one in got]


def connections(b):
    print("\nidle connections, one caller beside them\n")
    print(f"{'idle':>8}{'verify p50 us':>15}{'sign p50 us':>13}{'front, us a verify':>20}{'front MB':>10}{'bytes each':>12}")
    counts = (0, 100, 1000, 10000)
    shapes = [dict(op=op, idle=n) for n in counts for op in ("verify", "sign")]
    told, base = b.rows(shapes), memory_mb(b.agent, "front")
    for i, n in enumerate(counts):
        with subprocess.Popen([str(BIN / "antag-scale"), "--socket", str(b.agent.agent_sock), "--idle", str(n), "--hold"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"open\n"
            front = memory_mb(b.agent, "front")
            holder.stdin.close()
        v, s = told[2 * i], told[2 * i + 1]
        each = (front - base) * 1048576 / n if n else 0
        print(f"{n:>8}{v['p50_us']:>15.0f}{s['p50_us']:>13.0f}{v['front_us']:>20.1f}{front:>10.1f}{each:>12.0f}", flush=True)
    print("\nactive connections, one request under way on each\n")
    print(f"{'':>8}{'verify/s':>10}{'p50 us':>10}{'p99 us':>10}{'sign/s':>10}{'p50 us':>10}{'p99 us':>10}")
    counts = (1, 100, 1000, 10000)
    told = b.rows([dict(op=op, connections=n, ms=max(MS, 3000 if n == 10000 and not QUICK else MS)) for n in counts for op in ("verify", "sign")])
    for i, n in enumerate(counts):
        v, s = told[2 * i], told[2 * i + 1]
        print(f"{n:>8}{v['rate']:>10.0f}{v['p50_us']:>10.0f}{v['p99_us']:>10.0f}{s['rate']:>10.0f}{s['p50_us']:>10.0f}{s['p99_us']:>10.0f}", flush=True)


def bodies(b):
    print("\nbodies, four connections, four deep\n")
    print(f"{'bytes':>9}{'verify/s':>10}{'MB/s':>8}{'front us':>10}{'sign/s':>10}{'front us':>10}")
    sizes = (100, 1024, 16384, 131072, 1048576)
    told = b.rows([dict(op=op, connections=4, depth=4, body=n) for n in sizes for op in ("verify", "sign")])
    for i, n in enumerate(sizes):
        v, s = told[2 * i], told[2 * i + 1]
        print(f"{n:>9}{v['rate']:>10.0f}{v['rate'] * n / 1e6:>8.0f}{v['front_us']:>10.1f}{s['rate']:>10.0f}{s['front_us']:>10.1f}", flush=True)


def make_keys(agent, had, count):
    """Staged keys, a hundred a profile: each is loaded and tested at the start as one that signs is."""
    with connect(agent.staff_sock) as c:
        c.timeout = 120
        for n in range(had, count):
            profile = f"many{n // 100}/sandbox"
            if n % 100 == 0 or n == 1:
                agent.make_profile(f"many{n // 100}", "sandbox", key=False)
            c.send_raw(frame([0, n, "key_generate", {"profile": profile}]))
            _, _, error, _ = c.recv_message()
            assert error is None, error


def time_to_first_signature(agent):
    agent.stop()
    at = time.monotonic()
    agent.start(wait=False)
    while True:
        try:
            with Client(agent.agent_sock) as c:
                c.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b"{}")
                break
        except (AntomError, OSError):
            time.sleep(0.005)
    took = time.monotonic() - at
    agent.wait_ready()
    return took


def keys(b):
    print("\nmerchant keys held\n")
    print(f"{'keys':>8}{'sign p50 us':>13}{'start to first signature, s':>29}{'keeper MB':>11}{'front MB':>10}{'steward MB':>12}")
    had = 1
    for count in KEYS:
        make_keys(b.agent, had, count)
        had = count
        [told] = b.rows([dict(op="sign")])
        took = statistics.median(time_to_first_signature(b.agent) for _ in range(3))
        print(f"{count:>8}{told['p50_us']:>13.0f}{took:>29.2f}{memory_mb(b.agent, 'keeper'):>11.1f}{memory_mb(b.agent, 'front'):>10.1f}"
              f"{memory_mb(b.agent, 'steward'):>12.1f}", flush=True)


def soak(b):
    """Ten million verifies and a million signs: what each role has of its own after every tenth of them."""
    print("\nmemory of the roles, MB, over ten million verifies and one million signs\n")
    roles = ("front", "keeper", "steward", "supervisor")
    done = {"verify": 0, "sign": 0}
    print(f"{'verifies':>12}{'signs':>10}" + "".join(f"{r:>12}" for r in roles))
    goals = {"verify": 100000 if QUICK else 10000000, "sign": 10000 if QUICK else 1000000}

    def row():
        print(f"{done['verify']:>12}{done['sign']:>10}" + "".join(f"{memory_mb(b.agent, r):>12.2f}" for r in roles), flush=True)

    b.load("verify", 16, 8, ms=MS), b.load("sign", 16, 8, ms=MS)  # buffers grow while the first come
    row()
    for op in ("verify", "sign"):
        for tenth in range(1, 11):
            while done[op] < goals[op] * tenth / 10:
                done[op] += b.load(op, 16, 8, ms=2000)["ops"]
            row()


def main():
    with tempfile.TemporaryDirectory(prefix="antag-bench-") as folder, Agent(conf=CONF) as agent:
        antom = pathlib.Path(folder) / "antom.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", antom], check=True, capture_output=True)
        public = subprocess.run(["openssl", "pkey", "-in", antom, "-pubout"], check=True, capture_output=True, text=True).stdout
        agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=public)
        b = Bench(agent, antom)
        print(f"RSA-2048, record buffered, client and agent on the same cores; medians of {ROUNDS} rounds of {MS} ms")
        if "--soak" in sys.argv:
            soak(b)
            return
        connections(b)
        bodies(b)
        keys(b)


main()
