"""Keyrings in devices beside the devices themselves, and software keys beside a device that hangs. `packaging/bench --keyrings`.

Raw and agent take turns in one run, so that their ratio holds on a noisy machine; a PKCS#11 token and a TPM each stand twice, once
for either, as a TPM serves one connection."""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from agent_fixture import BIN, Agent  # noqa: E402
from antom_client import AntomError, Client  # noqa: E402
from softhsm import MODULE, PIN, Token  # noqa: E402
from swtpm import Tpm  # noqa: E402

SANDBOX, PAY = "shop/sandbox", "/ams/api/v1/payments/pay"
CLIENT_ID = "SANDBOX_5X00000000000001"
ROUNDS, MS = 7, 1500


def raw(*args, env=None):
    return float(subprocess.run([str(BIN / "antag-rawring"), *map(str, args)], check=True, capture_output=True, text=True,
                                env={**os.environ, **(env or {})}).stdout)


def rate(agent):
    """With so many in flight that the device always has the next."""
    return raw("agent", agent.agent_sock, CLIENT_ID, MS)


def against(name, conf, device):
    """One line of the table."""
    with Agent(conf=conf) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "bench")
        rate(a), device()  # warm
        pairs = [(device(), rate(a)) for _ in range(ROUNDS)]
    ratios = [ours / theirs for theirs, ours in pairs]
    print(f"{name:<22}{statistics.median(p[0] for p in pairs):>10.0f}{statistics.median(p[1] for p in pairs):>10.0f}"
          f"{statistics.median(ratios):>10.2f}   {min(ratios):.2f} to {max(ratios):.2f}", flush=True)


def times(agent, profile, count):
    """Seconds of each of so many signatures, one after the other."""
    spent = []
    with Client(agent.agent_sock, timeout=30) as c:
        for _ in range(count):
            begin = time.perf_counter()
            c.call("sign_request", profile=profile, method="POST", uri=PAY, body=b"{}")
            spent.append(time.perf_counter() - begin)
    return sorted(spent)


def hammer(agent, until):
    """Requests for the device's profile, whatever comes back."""
    while time.monotonic() < until:
        with Client(agent.agent_sock, timeout=30) as c:
            try:
                c.call("sign_request", profile=SANDBOX, method="POST", uri=PAY, body=b"{}", deadline_ms=200)
            except AntomError:
                pass


def beside(folder):
    """Software keys, with a TPM that rests and one that is stopped and hammered, in turns."""
    tpm = Tpm(folder)
    quiet, loud = [], []
    with Agent(conf=tpm.conf("bench", max_wait_ms=500)) as a:
        a.make_profile("shop", "sandbox", CLIENT_ID, key=False)
        a.ctl("key", "generate", SANDBOX, "--keyring", "bench")
        a.make_profile("beside", "sandbox")
        times(a, "beside/sandbox", 200)
        for _ in range(ROUNDS):
            quiet += times(a, "beside/sandbox", 300)
            tpm.hang()
            threads = [threading.Thread(target=hammer, args=(a, time.monotonic() + 1.5)) for _ in range(2)]
            for t in threads:
                t.start()
            loud += times(a, "beside/sandbox", 300)
            for t in threads:
                t.join()
            tpm.go_on()
            time.sleep(0.3)
    tpm.kill()
    for name, spent in (("the TPM rests", sorted(quiet)), ("it hangs, and is asked", sorted(loud))):
        print(f"{name:<28}{spent[len(spent) // 2] * 1e6:>8.0f}{spent[len(spent) * 99 // 100] * 1e6:>8.0f}", flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="antag-bench-") as folder:
        folder = pathlib.Path(folder)
        print(f"signatures a second, {ROUNDS} rounds of {MS} ms each in turns\n")
        print(f"{'':<22}{'raw':>10}{'agent':>10}{'ratio':>10}   of rounds")
        for threads in (1, 2):
            ours, theirs = Token(folder / f"ours{threads}"), Token(folder / f"raw{threads}")
            against(f"SoftHSM, {threads} session{'s' * (threads > 1)}", ours.conf("bench", threads=threads),
                    lambda t=theirs, n=threads: raw("pkcs11", MODULE, t.label, PIN, n, MS,
                                                    env={"SOFTHSM2_CONF": str(t.settings)}))
        ours, theirs = Tpm(folder / "tpm1"), Tpm(folder / "tpm2")
        against("swtpm", ours.conf("bench"), lambda: raw("tpm", f"swtpm:path={theirs.server}", MS))
        ours.kill(), theirs.kill()
        print("\nsoftware keys, one caller, microseconds\n")
        print(f"{'':<28}{'p50':>8}{'p99':>8}")
        beside(folder / "beside")


main()
