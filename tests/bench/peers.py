"""antom-agent beside what else holds keys for a process, in one run: ssh-agent, a p11-kit server before SoftHSM, gpg-agent, OpenSSL in the
caller's process; and Python, Node.js, Java and Go with the key in their own process. `packaging/bench --peers [--plot FILE.svg]`.

Rounds in turns, so that a busy machine disturbs all alike; client and server share all cores. All sign RSA-2048 with SHA-256 over some
400 bytes. CPU times are user and system of the client's process and of all processes of the server."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/clients"), str(ROOT / "tests/bench")]
from agent_fixture import BIN, Agent  # noqa: E402
from clients import PROGRAMS, measure as measure_language, write_key  # noqa: E402
from plot import svg  # noqa: E402
from softhsm import MODULE, PIN, Token  # noqa: E402

CLIENT_ID = "SANDBOX_5X00000000000001"
ROUNDS, MS, COUNTS = 7, 1000, (1, 2, 4, 8, 16, 32, 64, 128, 256)
P11_CLIENT = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
TICK = os.sysconf("SC_CLK_TCK")


def wait_for(path, seconds=20):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.02)


class Peer:
    def __init__(self, name, arguments, pid=None, env=None):
        self.name, self.arguments, self.pid, self.env = name, [str(a) for a in arguments], pid, {**os.environ, **(env or {})}

    def server_ticks(self):
        """Of the process and all below it, those that ended too."""
        if self.pid is None:
            return 0
        children, spent = {}, {}
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                try:
                    fields = pathlib.Path(f"/proc/{entry.name}/stat").read_text().rsplit(")", 1)[1].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has just ended
                children.setdefault(int(fields[1]), []).append(int(entry.name))
                spent[int(entry.name)] = sum(map(int, fields[11:15]))
        todo, total = [self.pid], 0
        while todo:
            pid = todo.pop()
            total += spent.get(pid, 0)
            todo += children.get(pid, [])
        return total

    def measure(self, threads, ms=MS):
        before = self.server_ticks()
        done = subprocess.run([str(BIN / "antag-peers"), *self.arguments, str(threads), str(ms)], env=self.env, capture_output=True, text=True,
                              timeout=60 + ms / 100)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}, {threads}: {done.stderr}")
        told = json.loads(done.stdout)
        told["server_us"] = (self.server_ticks() - before) / TICK * 1e6 / told["count"]
        return told


def start_ssh(folder, started):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", folder / "ssh"], check=True)
    socket = folder / "ssh.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    started.append(process)
    wait_for(socket)
    subprocess.run(["ssh-add", "-q", folder / "ssh"], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True)
    return Peer("ssh-agent", ["ssh", socket], process.pid)


def start_p11(folder, started):
    token = Token(folder / "p11")
    env = {**os.environ, "SOFTHSM2_CONF": str(token.settings)}
    subprocess.run(["pkcs11-tool", "--module", MODULE, "--token-label", token.label, "--login", "--pin", PIN, "--keypairgen", "--key-type", "rsa:2048"],
                   env=env, check=True, capture_output=True)
    socket = folder / "p11.sock"
    process = subprocess.Popen(["p11-kit", "server", "-f", "-n", socket, "--provider", MODULE, f"pkcs11:token={token.label}"], env=env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started.append(process)
    wait_for(socket)
    return Peer("p11-kit, SoftHSM", ["p11", P11_CLIENT, token.label, PIN], process.pid, {"P11_KIT_SERVER_ADDRESS": f"unix:path={socket}"})


def start_gpg(folder, started):
    home = folder / "gpg"
    home.mkdir(mode=0o700)
    env = {**os.environ, "GNUPGHOME": str(home)}
    socket = subprocess.run(["gpgconf", "--list-dirs", "agent-socket"], env=env, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "bench", "rsa2048", "sign", "never"], env=env, check=True,
                   capture_output=True)
    listing = subprocess.run(["gpg", "--with-colons", "--with-keygrip", "-K"], env=env, check=True, capture_output=True, text=True).stdout
    grip = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("grp"))
    told = subprocess.run(["gpg-connect-agent", "--no-autostart", "GETINFO pid", "/bye"], env=env, check=True, capture_output=True, text=True).stdout
    started.append(Gpg(env))  # gpg has started it
    return Peer("gpg-agent", ["gpg", socket, grip], int(told.split()[1]))


class Gpg:
    def __init__(self, env):
        self.env = env

    def terminate(self):
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=self.env, check=True)

    def wait(self, _):
        pass


def medians(rounds):
    return {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}


def table(peers):
    """One line a peer; lone and saturated in turns over the rounds."""
    lone, full = {p.name: [] for p in peers}, {p.name: [] for p in peers}
    for n in range(ROUNDS + 1):
        for p in peers:
            one, many = p.measure(1), p.measure(16 if p.pid else os.cpu_count())
            if n > 0:  # the first warms
                lone[p.name].append(one)
                full[p.name].append(many)
    raw_lone, raw_full = medians(lone[peers[0].name]), medians(full[peers[0].name])
    print(f"{'':<20}{'p50 us':>9}{'p99 us':>9}{'x raw':>7}{'saturated':>11}{'of raw':>8}{'client us':>11}{'server us':>11}")
    for p in peers:
        one, many = medians(lone[p.name]), medians(full[p.name])
        print(f"{p.name:<20}{one['p50_us']:>9.0f}{one['p99_us']:>9.0f}{one['p50_us'] / raw_lone['p50_us']:>7.2f}{many['rate']:>11.0f}"
              f"{many['rate'] / raw_full['rate']:>8.2f}{many['client_us']:>11.1f}{many['server_us']:>11.1f}", flush=True)
    return raw_lone["p50_us"]


def languages(folder, raw_p50):
    key = write_key(folder)
    print(f"\n{'in process':<12}{'key read for each call, as SDKs do':>38}{'key kept':>24}")
    print(f"{'':<12}{'a second':>16}{'p50 us':>12}{'x raw':>10}{'a second':>12}{'p50 us':>8}{'x raw':>8}")
    for language, program in PROGRAMS.items():
        if language == "PHP":
            continue
        got = {mode: [] for mode in ("parse", "kept")}
        for n in range(4):
            for mode in got:
                told = measure_language(program, mode, key, CLIENT_ID)
                if n > 0:
                    got[mode].append(told)
        parse, kept = medians(got["parse"]), medians(got["kept"])
        print(f"{language:<12}{parse['rate']:>16.0f}{parse['p50_us']:>12.0f}{parse['p50_us'] / raw_p50:>10.2f}{kept['rate']:>12.0f}{kept['p50_us']:>8.0f}"
              f"{kept['p50_us'] / raw_p50:>8.2f}", flush=True)


def draw(peers, path):
    series = {}
    for p in peers[1:]:
        series[p.name] = {}
        for n in COUNTS:
            try:
                series[p.name][n] = medians([p.measure(n, 500) for _ in range(3)])
            except RuntimeError as e:  # as many as that it does not take
                print(f"plot: {p.name} does not take {n} at a time: {str(e).splitlines()[-1]}", flush=True)
                break
    pathlib.Path(path).write_text(svg(series, COUNTS, f"requests under way at a time; RSA-2048, {os.cpu_count()} cores for client and server; medians of 3"))
    print(f"\nplot: {path}")


def main():
    started = []
    with tempfile.TemporaryDirectory(prefix="antag-bench-") as folder, Agent(conf="\n[audit]\ndurability = buffered\n") as agent:
        folder = pathlib.Path(folder)
        agent.make_profile("shop", "sandbox", CLIENT_ID)
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", folder / "raw.pem"], check=True, capture_output=True)
        try:
            peers = [Peer("OpenSSL in process", ["raw", folder / "raw.pem"]), Peer("antom-agent", ["agent", agent.agent_sock, CLIENT_ID], agent.process.pid),
                     start_ssh(folder, started), start_p11(folder, started), start_gpg(folder, started)]
            print(f"{ROUNDS} rounds in turns, medians; saturated: 16 at a time, raw: one a core ({os.cpu_count()}); CPU times: saturated, a signature\n")
            raw_p50 = table(peers)
            languages(folder, raw_p50)
            if len(sys.argv) > 1:
                draw(peers, sys.argv[1])
        finally:
            for process in started:
                process.terminate()
                process.wait(20)


main()
