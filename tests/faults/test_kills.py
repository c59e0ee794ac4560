"""Each role is killed at random moments under load. What must hold: it is restarted, clients go on, every
call ends exactly once, and no answer is wrong. The seed is printed; ANTAG_SEED repeats a run."""
import base64
import hashlib
import os
import pathlib
import random
import signal
import threading
import time

import pytest

import chain_judge
import judge
from agent_fixture import SLOW, CtlError
from antom_client import AntomError, Client

FULL = 5 if os.environ.get("ANTAG_FULL") == "1" else 1
KILLS = 20 * FULL
KILLS_OF_WRITERS = 50 * FULL  # keeper and steward write a record
SEED = int(os.environ.get("ANTAG_SEED", random.SystemRandom().randrange(1 << 32)))
PAY = "/ams/api/v1/payments/pay"
SENT = "/ams/sandbox/api/v1/payments/pay"
CLIENT_ID = "SANDBOX_5Xkill"


def children(agent):
    """role -> list of process ids, read from /proc, since the one who could tell may be dead."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        state, ppid = stat.rsplit(")", 1)[1].split()[:2]
        if int(ppid) == agent.process.pid and state != "Z" and b"--role" in command:
            found.setdefault(command[command.index(b"--role") + 1].decode(), []).append(int(entry.name))
    return found


class Load(threading.Thread):
    """One payment service: signs, verifies, and offers false messages, for ever; judges every answer."""

    def __init__(self, agent, public, antom_key, stop):
        super().__init__(daemon=True)
        self.agent, self.public, self.antom_key, self.stop = agent, public, antom_key, stop
        self.good = self.refused = self.retried = 0
        self.records = {}  # answered: record -> digest of the string that was signed
        self.wrong = []

    def run(self):
        client = Client(self.agent.agent_sock, timeout=20 * SLOW)
        while not self.stop.is_set():
            try:
                self.one(client)
            except AntomError as error:
                if error.class_ != "retry":  # repeated once already; a second kill may meet the second try
                    self.wrong.append(f"{error.name}: {error.message}")
                self.retried += 1
                time.sleep(0.05)
            except Exception as error:  # the judge's word
                self.wrong.append(repr(error))
                return

    def one(self, client):
        body = os.urandom(200)
        common = dict(profile="shop/sandbox", method="POST", uri=PAY)
        got = client.call_twice("sign_request", body=body, **common)
        judge.judge_request(self.public, "POST", SENT, CLIENT_ID, got["headers"], body)
        text = judge.string_to_sign("POST", SENT, CLIENT_ID, got["headers"]["Request-Time"], body)
        assert got["record"] not in self.records
        self.records[got["record"]] = hashlib.sha256(text).hexdigest()
        headers = judge.response(self.antom_key, SENT, CLIENT_ID, body)
        assert client.call_twice("verify_response", headers=headers, body=body, **common)["version"] == 1
        self.good += 1
        try:
            client.call_twice("verify_response", headers=headers, body=body + b"x", **common)
            raise AssertionError("a false message was taken")
        except AntomError as error:
            if error.class_ == "retry":
                raise
            assert error.name == "SIGNATURE_INVALID", error.name
            self.refused += 1


@pytest.fixture
def loaded(agent, antom_key):
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
    public = judge.load_public(agent.ctl("key", "export", "shop/sandbox")["public_key"])
    stop = threading.Event()
    load = [Load(agent, public, antom_key, stop) for _ in range(3)]
    for thread in load:
        thread.start()
    yield agent, load
    end_load(load)


def end_load(load):
    for thread in load:
        thread.stop.set()
    for thread in load:
        thread.join(60 * SLOW)
        assert not thread.is_alive(), "a call did not end"


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds * SLOW
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds * SLOW} s"
        time.sleep(0.02)


def judge_record(agent, load):
    """The chain holds, and every answered signature has its own line. Nothing is signed any more."""
    chain = chain_judge.Chain(agent.home / "audit", "soft")
    for thread in load:
        for record, digest in thread.records.items():
            line = chain.of(record)
            assert (line["type"], line["digest"], line["profile"]) == ("sign", digest, "shop/sandbox"), line
            assert (line["uid"], line["path"], line["client_id"]) == (os.getuid(), SENT, CLIENT_ID), line
    answered = sum(len(t.records) for t in load)
    assert answered > 0
    print(f"{answered} answered of {len(chain.signs())} recorded, {len(chain.files)} segments, {chain.torn} bytes torn")


@pytest.mark.parametrize("role", ["front", "keeper", "steward"])
def test_killed_under_load(loaded, role):
    agent, load = loaded
    kills = KILLS_OF_WRITERS if role != "front" else KILLS
    rng = random.Random(SEED)
    print(f"ANTAG_SEED={SEED}")
    others = {r: p for r, p in children(agent).items() if r != role}
    for n in range(kills):
        time.sleep(rng.uniform(0.01, 0.4))
        [pid] = children(agent)[role]
        os.kill(pid, signal.SIGKILL)
        wait_for(f"{role} to come again after kill {n}", 20,
                 lambda: children(agent).get(role, [pid]) not in ([], [pid]))
        before = [t.good for t in load]
        wait_for(f"every client to go on after kill {n}", 30,
                 lambda: all(t.good > b or t.wrong for t, b in zip(load, before)))
        assert not [w for t in load for w in t.wrong]
    assert {r: p for r, p in children(agent).items() if r != role} == others, "another role was lost"
    wait_for("the steward to answer", 30, lambda: agent.ctl_raw("status").returncode == 0)
    restarts = {r["role"]: r["restarts"] for r in agent.roles() if r["role"] != "opener"}
    assert restarts[role] == kills
    print(f"{sum(t.good for t in load)} good, {sum(t.retried for t in load)} ended with a retry class")
    assert agent.ctl("status")["state"] == "ready"
    end_load(load)
    judge_record(agent, load)


def test_steward_killed_under_staff_work(loaded):
    """Staff commands meet the death of the steward: each ends as done or as an error, none half."""
    agent, load = loaded
    rng = random.Random(SEED)
    print(f"ANTAG_SEED={SEED}")
    stop = threading.Event()

    def kill():
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.5))
            for pid in children(agent).get("steward", []):
                os.kill(pid, signal.SIGKILL)
        stop.set()

    killer = threading.Thread(target=kill)
    killer.start()
    done = 0
    while not stop.is_set():
        try:
            agent.ctl("key", "generate", "shop/sandbox", timeout=120 * SLOW)
            done += 1
        except CtlError as error:
            assert error.error.get("class") == "retry" or error.name in ("NOT_READY",), error
    killer.join()
    wait_for("the steward to answer", 30, lambda: agent.ctl_raw("key", "list", "shop/sandbox").returncode == 0)
    keys = agent.ctl("key", "list", "shop/sandbox")["keys"]
    assert len(keys) > done  # the first one, those that answered, perhaps some whose answer was lost
    assert len({k["version"] for k in keys}) == len(keys) == len({k["fingerprint"] for k in keys})
    assert [k["state"] for k in keys].count("active") == 1
    for key in keys:
        if key["state"] == "staged":  # its private half is there: it can sign
            agent.ctl("key", "activate", "shop/sandbox", key["version"])
            break
    assert not [w for t in load for w in t.wrong if "Invalid" not in w]
    end_load(load)
    agent.stop()
    deeds = chain_judge.Record(agent.home / "audit").chains["steward"].deeds()
    made = [d for d in deeds if d["what"] == "key_generate"]
    assert sorted(d["handle"] for d in made) == sorted({d["handle"] for d in made}) and len(made) == len(keys)
    assert [d["deed"] for d in deeds] == list(range(1, len(deeds) + 1))
    print(f"{len(deeds)} deeds, each once")


def test_opener_killed(agent):
    rng = random.Random(SEED)
    print(f"ANTAG_SEED={SEED}")
    agent.make_profile("shop", "sandbox", CLIENT_ID, key=False)
    stop = threading.Event()
    kills = 0

    def kill():
        nonlocal kills
        while kills < KILLS and not stop.is_set():
            for pid in children(agent).get("opener", []):
                time.sleep(rng.uniform(0, 0.02))
                try:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    imported = 0
    pem = judge.new_key()
    try:
        for _ in range(40 * KILLS):
            if kills >= KILLS:
                break
            try:
                agent.ctl("key", "import", "shop/sandbox", input=judge.pkcs8(pem))
                imported += 1
                pem = judge.new_key()
            except CtlError as error:
                if error.name == "KEY_KNOWN":  # the answer was lost, the key was not
                    pem = judge.new_key()
                else:
                    assert error.error.get("class") == "retry", error
    finally:
        stop.set()
        killer.join()
    assert kills >= KILLS, f"only {kills} openers were met alive"
    agent.ctl("key", "import", "shop/sandbox", input=judge.pkcs8(judge.new_key()))
    keys = agent.ctl("key", "list", "shop/sandbox")["keys"]
    assert len(keys) >= imported + 1
    assert len({k["fingerprint"] for k in keys}) == len(keys)


def test_supervisor_killed(agent, antom_key):
    """Without its supervisor nothing goes on; a new start on the same home has all that was answered."""
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
    for n in range(3):
        agent.ctl("app", "create", f"app{n}", "--role", "merchant", "--region", "SG", "--product", "Checkout",
                  "--currency", "USD")
        roles = [pid for pids in children(agent).values() for pid in pids]
        agent.kill()
        wait_for("the roles to end with it", 10, lambda: not any(os.path.exists(f"/proc/{p}") for p in roles))
        agent.start()
        assert f"app{n}" in [a["app"] for a in agent.ctl("app", "list")["apps"]]
        with Client(agent.agent_sock) as client:
            body = base64.b64encode(os.urandom(30))
            got = client.call_twice("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=body)
            public = judge.load_public(agent.ctl("key", "export", "shop/sandbox")["public_key"])
            judge.judge_request(public, "POST", SENT, CLIENT_ID, got["headers"], body)
