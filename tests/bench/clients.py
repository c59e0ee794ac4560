"""Signatures a second and their times, by language: through the agent, in process as Antom's SDK of that language does it (the private
key read for every call), and in process with a key object that is kept. `packaging/bench --clients`.

One client process at a time, one call after the other; the three ways of a language take turns in one run. Go, Java and Node.js are
measured after their compilers have warmed up on the first round, which is left out."""
import base64
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tests/clients")]
from agent_fixture import Agent  # noqa: E402
from driving import ENV, JAVA_PATH, MADE  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402

PROFILE, CLIENT_ID = "shop/sandbox", "SANDBOX_5X00000000000001"
HERE = ROOT / "tests/bench/clients"
ROUNDS, MS = 5, 2000
PROGRAMS = {
    "Python": ["/usr/bin/python3", HERE / "bench.py"],
    "Node.js": ["node", HERE / "bench.js"],
    "Java": ["java", "-cp", JAVA_PATH, "Bench"],
    "Go": [MADE / "go/bench"],
    "PHP": ["php", HERE / "bench.php"],
}
WAYS = {"agent": "through the agent", "parse": "in process, key read each time", "kept": "in process, key kept"}


def measure(program, mode, where, who):
    command = [str(x) for x in (*program, mode, where, who, MS)]
    return json.loads(subprocess.run(command, env=ENV, check=True, capture_output=True, text=True, timeout=120).stdout)


def write_key(folder):
    """A key as it lies in configurations, for the ways that have it in process; its file."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = pathlib.Path(folder) / "key"
    file.touch(mode=0o600)
    file.write_text(base64.b64encode(key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                                       serialization.NoEncryption())).decode())
    return file


def main():
    with tempfile.TemporaryDirectory(prefix="antag-bench-") as folder, Agent(conf="\n[audit]\ndurability = buffered\n") as agent:
        file = write_key(folder)
        agent.make_profile("shop", "sandbox", CLIENT_ID)
        print(f"one call after the other, 300 bytes, RSA-2048, record buffered; medians of {ROUNDS} rounds of {MS} ms in turns\n")
        print(f"{'':<10}{'':<34}{'a second':>10}{'p50 us':>10}{'p99 us':>10}")
        for language, program in PROGRAMS.items():
            got = {mode: [] for mode in WAYS}
            for n in range(ROUNDS + 1):
                for mode in WAYS:
                    told = measure(program, mode, *((agent.agent_sock, PROFILE) if mode == "agent" else (file, CLIENT_ID)))
                    if n > 0:
                        got[mode].append(told)
            for mode, what in WAYS.items():
                middle = {k: statistics.median(t[k] for t in got[mode]) for k in ("rate", "p50_us", "p99_us")}
                print(f"{language if mode == 'agent' else '':<10}{what:<34}{middle['rate']:>10.0f}{middle['p50_us']:>10.0f}{middle['p99_us']:>10.0f}",
                      flush=True)


if os.environ.get("ANTAG_BENCH_LANGUAGES"):  # some of them, to try the others out
    PROGRAMS = {k: v for k, v in PROGRAMS.items() if k in os.environ["ANTAG_BENCH_LANGUAGES"].split(",")}
if __name__ == "__main__":
    main()
