"""Changes under load. Payment services pipeline requests while staff switches, stops and changes: no request
fails that need not, no answer mixes old and new, and what a command changed holds when it returns.

Each request is recorded with the moments around it; each command with its moments and what it makes true.
A request may then show what was true at some time while it was under way, and nothing else."""
import collections
import threading
import time

import pytest

import judge
from agent_fixture import SLOW, Agent
from antom_client import Client

PAY, SENT = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"
CLIENT_ID = "SANDBOX_5Xswitch"
SWITCHES = 20
Record = collections.namedtuple("Record", "sent got body error result")
Phase = collections.namedtuple("Phase", "issued done value")


class Load(threading.Thread):
    """One payment service with `depth` requests in flight; keeps every answer."""

    def __init__(self, agent, profile, depth, request=None):
        super().__init__(daemon=True)
        self.path, self.profile, self.depth = agent.agent_sock, profile, depth
        self.request = request or self.sign
        self.records, self.failure, self.stopping = [], None, threading.Event()

    def sign(self, body):
        return "sign_request", dict(profile=self.profile, method="POST", uri=PAY, body=body)

    def run(self):
        try:
            with Client(self.path, timeout=60 * SLOW) as client:
                self.pipeline(client)
        except Exception as error:  # told by finish()
            self.failure = error

    def pipeline(self, client):
        waiting, count = {}, 0
        while waiting or not self.stopping.is_set():
            while len(waiting) < self.depth and not self.stopping.is_set():
                body = b"%d of %d" % (count, id(self))
                method, params = self.request(body)
                count += 1
                sent = time.monotonic()
                waiting[client.send(method, **params)] = (sent, body)
            if not waiting:
                return
            kind, id_, error, result = client.recv_message()
            assert kind == 1
            sent, body = waiting.pop(id_)
            self.records.append(Record(sent, time.monotonic(), body, error["name"] if error else None, result))


class Loads:
    """Several of them, for a with block; ends with all that was in flight answered."""

    def __init__(self, *threads):
        self.threads = threads

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def wait(self, count, what=lambda r: True):
        """Until each has `count` more answers that fit."""
        ends = time.monotonic() + 120 * SLOW
        for t in self.threads:
            start = len(t.records)
            fit = 0
            while fit < count:
                assert t.is_alive(), t.failure
                assert time.monotonic() < ends, f"{fit} answers of {count}"
                time.sleep(0.005)
                end = len(t.records)
                fit += sum(1 for r in t.records[start:end] if what(r))
                start = end

    def __exit__(self, kind, *_):
        for t in self.threads:
            t.stopping.set()
        for t in self.threads:
            t.join(120 * SLOW)
            assert not t.is_alive(), "a request was never answered"
            assert t.failure is None or kind, t.failure

    @property
    def records(self):
        return [r for t in self.threads for r in t.records]


def command(agent, value, *args):
    """Run it; the phase that it begins."""
    issued = time.monotonic()
    agent.ctl(*args)
    return Phase(issued, time.monotonic(), value)


def check(records, phases, shown):
    """What each record shows must have been true at some time between its two moments."""
    ends = [p.done for p in phases[1:]] + [float("inf")]
    proven = set()
    for r in records:
        under = [n for n, p in enumerate(phases) if p.issued <= r.got and ends[n] >= r.sent]
        allowed = {phases[n].value for n in under}
        assert shown(r) in allowed, f"{shown(r)} where {allowed} was true: {r}"
        proven.update(under if len(under) == 1 else [])
    assert proven == set(range(len(phases))), "no request lay wholly in one of the phases"


def judge_all(records, public, client_id=CLIENT_ID):
    """Every signature verifies under the version that the answer tells."""
    for r in records:
        if r.result is not None:
            version = judge.judge_request(public[r.result["version"]], "POST", SENT, client_id, r.result["headers"],
                                          r.body)
            assert version == r.result["key_version"]


def refusals(records):
    return collections.Counter(r.error for r in records if r.error)


@pytest.fixture
def setting():
    """An agent with two versions of one profile, and another profile beside it."""
    with Agent() as a:
        a.make_profile("shop", "sandbox", CLIENT_ID)
        a.ctl("key", "generate", "shop/sandbox")
        a.ctl("key", "set", "shop/sandbox", 1, "--key-version", 11)
        a.ctl("key", "set", "shop/sandbox", 2, "--key-version", 22)
        a.make_profile("beside", "sandbox")
        public = {v: judge.load_public(a.ctl("key", "export", "shop/sandbox", "--version", v)["public_key"])
                  for v in (1, 2)}
        yield a, public


def test_activate(setting):
    """Twenty switches back and forth, thousands of signatures, four services."""
    a, public = setting
    phases = [Phase(0, 0, 1)]
    with Loads(*[Load(a, "shop/sandbox", 16) for _ in range(4)]) as load:
        load.wait(20)
        for n in range(SWITCHES):
            version = 2 - n % 2
            phases.append(command(a, version, "key", "activate", "shop/sandbox", version))
            load.wait(40)
    assert not refusals(load.records)
    assert len(load.records) >= SWITCHES * 160
    judge_all(load.records, public)
    assert {(r.result["version"], r.result["key_version"]) for r in load.records} == {(1, 11), (2, 22)}
    check(load.records, phases, lambda r: r.result["version"])
    states = {k["version"]: k["state"] for k in a.ctl("key", "list", "shop/sandbox")["keys"]}
    assert states == {1: "active", 2: "retiring"}


def test_activate_while_keys_are_made(setting):
    """Switching among fresh keys while others are generated: long work of the keyring holds nothing up."""
    a, public = setting
    phases, made = [Phase(0, 0, 1)], []

    def generate():
        for _ in range(4):
            made.append(a.ctl("key", "generate", "shop/sandbox")["version"])

    with Loads(*[Load(a, "shop/sandbox", 8) for _ in range(2)]) as load:
        maker = threading.Thread(target=generate)
        maker.start()
        switched = 0
        while maker.is_alive() or switched < len(made):
            load.wait(5)
            for version in made[switched:]:
                switched += 1
                phases.append(command(a, version, "key", "activate", "shop/sandbox", version))
                load.wait(20)
        maker.join()
    assert made == [3, 4, 5, 6] and not refusals(load.records)
    public.update({v: judge.load_public(a.ctl("key", "export", "shop/sandbox", "--version", v)["public_key"])
                   for v in made})
    judge_all(load.records, public)
    check(load.records, phases, lambda r: r.result["version"])


STOPPED = {"KEY_STATE", "NO_ACTIVE_KEY"}


def test_suspend_under_saturating_load(setting):
    """Within a second of the command nothing is released under the key, what was queued included; the profile
    beside it goes on."""
    a, public = setting
    depth = 120  # near the limit of requests in flight: a queue of hundreds of milliseconds
    load = Loads(*[Load(a, "shop/sandbox", depth) for _ in range(4)])
    beside = Loads(Load(a, "beside/sandbox", 8))
    phases = [Phase(0, 0, "signs")]
    with load, beside:
        for _ in range(4):
            load.wait(2 * depth, lambda r: r.result)
            phases.append(command(a, "stopped", "key", "suspend", "shop/sandbox", 1))
            beside.wait(20)
            load.wait(2 * depth, lambda r: r.error)
            time.sleep(max(0, phases[-1].issued + 1.2 * SLOW - time.monotonic()))  # the second, watched to its end
            phases.append(command(a, "signs", "key", "resume", "shop/sandbox", 1))
        load.wait(2 * depth, lambda r: r.result)
    assert set(refusals(load.records)) <= STOPPED, refusals(load.records)
    assert not refusals(beside.records)
    judge_all(load.records, public)
    check(load.records, phases, lambda r: "signs" if r.result else "stopped")
    for stop, resume in zip(phases[1::2], phases[2::2]):
        late = [r for r in load.records if r.result and stop.issued + 1.0 * SLOW < r.got < resume.issued]
        assert not late, f"{len(late)} signatures came later than a second after the stop"
        assert stop.done - stop.issued < 1.0 * SLOW, "the command itself took longer than a second"
        last = max(r.got for r in load.records if r.result and r.got < resume.issued)
        queued = [r for r in load.records if r.error and r.sent < last and r.got > stop.issued]
        assert queued, "none of the requests that were under way with the last signature was stopped"
        times = sorted(r.got for r in beside.records if stop.issued < r.got < resume.issued)
        gaps = [y - x for x, y in zip([stop.issued, *times], [*times, resume.issued])]
        assert max(gaps) < 1.0 * SLOW, f"the profile beside it stood still for {max(gaps):.2f} s"


def test_suspend_beats_activate(setting):
    """A stop that meets a switch: at the end the stopped version signs nothing, whoever came first."""
    a, public = setting
    for _ in range(5):
        with Loads(*[Load(a, "shop/sandbox", 30) for _ in range(2)]) as load:
            load.wait(30, lambda r: r.result)
            switch = threading.Thread(target=lambda: a.ctl_raw("key", "activate", "shop/sandbox", "2"))
            switch.start()
            phase = command(a, None, "key", "suspend", "shop/sandbox", 1)
            load.wait(60)
            switch.join()
        late = [r for r in load.records if r.result and r.result["version"] == 1 and r.sent > phase.done]
        assert not late
        judge_all(load.records, public)
        states = {k["version"]: k["state"] for k in a.ctl("key", "list", "shop/sandbox")["keys"]}
        assert states[1] == "suspended"
        a.ctl("key", "resume", "shop/sandbox", 1)
        if states[2] == "active":
            a.ctl("key", "activate", "shop/sandbox", 1)


def test_key_version_under_load(setting):
    a, public = setting
    phases = [Phase(0, 0, 11)]
    with Loads(*[Load(a, "shop/sandbox", 16) for _ in range(2)]) as load:
        for number in (12, 13, 14, 4294967295, 11):
            load.wait(20)
            phases.append(command(a, number, "key", "set", "shop/sandbox", 1, "--key-version", number))
        load.wait(20)
    assert not refusals(load.records)
    judge_all(load.records, public)
    check(load.records, phases, lambda r: r.result["key_version"])


def test_grants_under_load(setting):
    """A service loses its grant and gets it back; the other one, with its own grant, notices nothing."""
    a, public = setting
    [grant] = a.ctl("grant", "list", "shop/sandbox")["grants"]
    load = Loads(*[Load(a, "shop/sandbox", 16) for _ in range(2)])
    beside = Loads(Load(a, "beside/sandbox", 8))
    phases = [Phase(0, 0, None)]
    with load, beside:
        for _ in range(5):
            load.wait(20)
            phases.append(command(a, "DENIED", "grant", "remove", grant["grant"]))
            load.wait(20)
            issued = time.monotonic()
            grant = a.ctl("grant", "add", "shop/sandbox", "--uid", grant["uid"], "--ops", "sign", "--query")
            phases.append(Phase(issued, time.monotonic(), None))
        load.wait(20)
    assert not refusals(beside.records)
    assert set(refusals(load.records)) == {"DENIED"}
    judge_all(load.records, public)
    check(load.records, phases, lambda r: r.error)


def test_client_id_under_load(setting):
    """The id in the header and the one that was signed are the same, before, during and after."""
    a, public = setting
    phases = [Phase(0, 0, CLIENT_ID)]
    with Loads(*[Load(a, "shop/sandbox", 16) for _ in range(2)]) as load:
        for n in range(5):
            load.wait(20)
            client_id = CLIENT_ID if n == 4 else f"SANDBOX_5Xchanged{n}"
            phases.append(command(a, client_id, "profile", "set", "shop/sandbox", "--client-id", client_id))
        load.wait(20)
    assert not refusals(load.records)
    for r in load.records:
        judge.judge_request(public[1], "POST", SENT, r.result["headers"]["Client-Id"], r.result["headers"], r.body)
    check(load.records, phases, lambda r: r.result["headers"]["Client-Id"])


def test_fence_under_load(setting):
    a, public = setting
    uri = "/ams/v1/aba/funds/createExchange"

    def request(body):
        return "sign_request", dict(profile="shop/sandbox", method="POST", uri=uri, body=body)

    phases = [Phase(0, 0, "WRONG_ENVIRONMENT")]
    with Loads(*[Load(a, "shop/sandbox", 8, request) for _ in range(2)]) as load:
        for _ in range(4):
            load.wait(20)
            phases.append(command(a, None, "fence", "add", "shop/sandbox", "--path", uri))
            load.wait(20)
            phases.append(command(a, "WRONG_ENVIRONMENT", "fence", "remove", "shop/sandbox", "--path", uri))
        load.wait(20)
    check(load.records, phases, lambda r: r.error)
    for r in load.records:
        if r.result:
            judge.judge_request(public[1], "POST", uri, CLIENT_ID, r.result["headers"], r.body)


def test_antom_keys_under_load(setting, antom_key):
    """An overlap begins and ends while messages of the old key come in."""
    a, _ = setting
    headers = judge.response(antom_key, SENT, CLIENT_ID, b"{}")

    def request(_):
        return "verify_response", dict(profile="shop/sandbox", method="POST", uri=PAY, headers=headers, body=b"{}")

    a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(antom_key))
    phases = [Phase(0, 0, ("verified", 1))]
    with Loads(*[Load(a, "shop/sandbox", 8, request) for _ in range(2)]) as load:
        load.wait(50)
        a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(judge.new_key()))
        load.wait(50)
        phases.append(command(a, ("SIGNATURE_INVALID", None), "antom-key", "revoke", "shop/sandbox", 1))
        load.wait(50)
        issued = time.monotonic()
        a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(antom_key))
        phases.append(Phase(issued, time.monotonic(), ("verified", 3)))
        load.wait(50)
    check(load.records, phases, lambda r: ("verified", r.result["version"]) if r.result else (r.error, None))


def test_lock_under_load(setting):
    """Everything stops at the lock, and goes on after unlock; every request is answered."""
    a, public = setting
    phases = [Phase(0, 0, "signs")]
    with Loads(*[Load(a, "shop/sandbox", 60) for _ in range(2)]) as load:
        for _ in range(3):
            load.wait(70, lambda r: r.result)
            phases.append(command(a, "locked", "lock"))
            load.wait(70, lambda r: r.error == "LOCKED")
            phases.append(command(a, "signs", "unlock"))
        load.wait(70, lambda r: r.result)
    judge_all(load.records, public)
    told = refusals(load.records)
    assert set(told) <= {"LOCKED", "RETRY", "NOT_READY", "BACKEND"}, told
    for stop, opened in zip(phases[1::2], phases[2::2]):
        assert not [r for r in load.records if r.result and r.sent > stop.done and r.got < opened.issued]
        assert {r.error for r in load.records if r.sent > stop.done and r.got < opened.issued} == {"LOCKED"}
