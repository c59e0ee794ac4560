"""Merchants in one application: what many of them cost. `packaging/bench --merchants`; counts as arguments.

Each count is measured on the same agent, in rising order: adding one more, a signature for a merchant beside one without
(interleaved, so that their ratio holds on a noisy machine), the list, memory of front and steward, and the time from the start
of the agent to the first signature."""
import concurrent.futures
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from agent_fixture import Agent  # noqa: E402
from antom_client import AntomError, Client  # noqa: E402
from staff_wire import memory_file, send  # noqa: E402
from wire import connect, frame  # noqa: E402

PROFILE, PAY = "hub/sandbox", "/ams/api/v1/payments/pay"
LANES = 4
ROUNDS = 2000


def add(agent, numbers):
    with connect(agent.staff_sock) as c:
        c.timeout = 60
        for n in numbers:
            fd = memory_file(f"20220914955405628747{n:05}".encode())
            send(c, frame([0, n, "merchant_add", {"profile": PROFILE, "merchant": f"M{n:05}"}]), [fd])
            os.close(fd)
            _, _, error, _ = c.recv_message()
            assert error is None, error


def add_up_to(agent, first, last):
    at = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        for f in [pool.submit(add, agent, range(first + lane, last, LANES)) for lane in range(LANES)]:
            f.result()
    return (time.monotonic() - at) / max(1, last - first)


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def sign(client, merchant=None):
    at = time.perf_counter()
    client.call("sign_request", profile=PROFILE, method="POST", uri=PAY, body=b"{}", **({"merchant": merchant} if merchant else {}))
    return time.perf_counter() - at


def measure(agent, count):
    with Client(agent.agent_sock) as c:
        plain, mine = [], []
        for i in range(ROUNDS):
            plain.append(sign(c))
            mine.append(sign(c, f"M{i * 7919 % count:05}"))
    at = time.monotonic()
    assert len(agent.ctl("merchant", "list", PROFILE)["merchants"]) == count
    listed = time.monotonic() - at
    memory = [rss_mib(agent.pid_of(role)) for role in ("front", "steward")]
    agent.stop()
    at = time.monotonic()
    agent.start(wait=False)
    while True:
        try:
            with Client(agent.agent_sock) as c:
                sign(c, "M00000")
                break
        except (AntomError, OSError):
            time.sleep(0.005)
    started = time.monotonic() - at
    agent.wait_ready()
    return statistics.median(plain), statistics.median(mine), listed, memory, started


def main():
    counts = [int(a) for a in sys.argv[1:]] or [100, 1000, 10000]
    print("merchants  add one   sign p50  of a merchant   list   front    steward  start to first signature")
    with Agent() as agent:
        agent.ctl("app", "create", "hub", "--role", "isv", "--region", "SG", "--product", "P", "--currency", "SGD")
        agent.make_profile("hub", "sandbox", client_id="SANDBOX_5Xhub")
        had = 0
        for count in counts:
            each = add_up_to(agent, had, count)
            had = count
            plain, mine, listed, (front, steward), started = measure(agent, count)
            print(f"{count:9}  {each * 1000:4.1f} ms  {plain * 1e6:5.0f} us  {mine * 1e6:5.0f} us ({mine / plain:.2f})"
                  f"  {listed:4.1f} s  {front:4.0f} MiB  {steward:4.0f} MiB  {started:.2f} s", flush=True)


main()
