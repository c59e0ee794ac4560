"""The steward is killed, or the power is cut, before every single write and sync to the disk that a change makes from its
opening to its application. Whatever the point: the registry opens, nothing that was said to be done is lost, nothing is
done twice or half, and a mail that comes again has the same Message-ID."""
import mmap
import os
import random
import struct
import sys
import time

import pytest

from agent_fixture import SLOW, Agent
from antom_client import AntomError, Client, Closed
from signing import wait_until
from staffing import ALICE, OFFICER, OWN, Office
from wire import Caller

pytestmark = pytest.mark.skipif(OWN != 0, reason="as root: staff have uids of their own")
MODES = {"kill": 0, "half": 1, "cut": 2}
SEED = int(os.environ.get("ANTAG_SEED", random.SystemRandom().randrange(1 << 32)))
STEP = 1 if os.environ.get("ANTAG_FULL") == "1" else 4  # each run hits others, all of them with --full
FIRST = 1 + SEED % STEP
ENOUGH_S = 60


class Crashing(Agent):
    program = "antom-agent-crashing"


class Plan:
    """HOME/crash.plan, as tests/support/crashshim.c reads it."""

    def __init__(self, home):
        path = home / "crash.plan"
        path.write_bytes(bytes(16))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)

    def arm(self, at, mode):
        self.map[:] = struct.pack("<IIII", at, MODES[mode], 0, 0)

    @property
    def count(self):
        return struct.unpack("<IIII", self.map[:])[2]

    @property
    def fired(self):
        return struct.unpack("<IIII", self.map[:])[3] != 0


class Scenario:
    """A change of the notification URL, from its opening to its application, by staff who repeat what was cut off."""

    callers = {}  # connections live as long as the steward they lead to

    def __init__(self, office, number):
        self.o, self.url, self.change = office, f"https://pay.example/{number}", None

    def revive(self):
        """A power cut ends the agent."""
        if self.o.agent.process.poll() is not None:
            self.o.agent.process.stdout.close()
            self.o.agent.process = None
            self.o.agent.killed = True
            self.o.agent.start()

    def call(self, uid, method, **params):
        """Its result, or the name of what it was refused with; None when nobody knows what became of it."""
        end = time.monotonic() + ENOUGH_S * SLOW
        while time.monotonic() < end:
            self.revive()
            try:
                if uid not in self.callers:
                    self.callers[uid] = Caller(self.o.agent.staff_sock, uid)
                return self.callers[uid].call(method, **params)
            except (AntomError, Closed, OSError) as error:
                name = getattr(error, "name", "UNREACHABLE")
                if getattr(error, "class_", "retry") != "retry" and name not in ("NOT_READY", "LOCKED"):
                    return name
                if name in ("UNREACHABLE", "TIMEOUT") and uid in self.callers:
                    self.callers.pop(uid).close()
                time.sleep(0.02)
                return None
        raise AssertionError(f"{method}: no answer")

    def sure(self, uid, method, **params):
        """A question, asked until it is answered."""
        said = wait_until(method, lambda: self.call(uid, method, **params), ENOUGH_S)
        assert isinstance(said, dict), (method, said, self.url, self.o.agent.log_text()[-3000:])
        return said

    def mine(self):
        return [c for c in self.sure(OWN, "change_list", all=True)["changes"] if c["alters"][0]["is"] == self.url]

    def open(self):
        while not self.mine():
            said = self.call(OFFICER, "profile_set", profile=self.o.live, notify_url=self.url)
            assert said is None or isinstance(said, dict), said
        assert len(self.mine()) == 1
        self.change = self.mine()[0]["change"]
        self.digest = bytes.fromhex(self.mine()[0]["digest"])

    def code_mails(self):
        return self.o.mails(ALICE, f"code for change {self.change}")

    def have_code(self):
        """What is said to be mailed comes; what was cut off may be asked for again."""
        end = time.monotonic() + ENOUGH_S * SLOW
        while not self.code_mails():
            assert time.monotonic() < end, "no code came"
            said = self.call(ALICE, "change_code", change=self.change, digest=self.digest)
            assert said is None or isinstance(said, dict), said
            if said is not None:
                wait_until("the code", lambda: (self.revive(), self.code_mails())[1], ENOUGH_S)
        return self.code_mails()[0].code

    def state(self):
        return self.mine()[0]

    def approve(self):
        code = self.have_code()
        end = time.monotonic() + ENOUGH_S * SLOW
        while not self.state()["approvals"]:
            assert time.monotonic() < end, "not approved"
            said = self.call(ALICE, "change_approve", change=self.change, digest=self.digest, code=code)
            # the mail server may have taken the code before the registry knew it: then it holds all the same
            assert said is None or isinstance(said, dict), said
        wait_until("its application", lambda: self.state()["state"] == "applied", ENOUGH_S)

    def settle(self):
        """Until every mail is out."""
        def out():
            mails = self.sure(OWN, "mail_list")["mails"]
            return not [m for m in mails if m["state"] == "queued"]
        wait_until("the mails", out, ENOUGH_S)

    def check(self):
        state = self.state()
        assert [a["uid"] for a in state["approvals"]] == [ALICE]
        assert self.sure(OWN, "profile_show", profile=self.o.live)["notify_url"] == self.url
        for uid, what in ((OFFICER, "waits"), (ALICE, "waits"), (OFFICER, "applied"), (ALICE, "applied")):
            got = self.o.mails(uid, f"change {self.change} to {self.o.live}")
            ids = {m.message["message-id"] for m in got if what in m.message["subject"]}
            assert len(ids) == 1, (uid, what, ids)
        assert len({m.message["message-id"] for m in self.code_mails()}) == 1

    def run(self):
        self.open()
        self.approve()
        self.settle()
        self.check()


def deeds_of(o):
    """what -> changes, of all of the record."""
    found = {}
    for line in o.deeds():
        if "change" in line:
            found.setdefault(line["what"], []).append(line["change"])
    return found


@pytest.mark.parametrize("mode", list(MODES))
def test_every_point(tmp_path, antom_key, mode, capfd):
    people = {OFFICER: "officer", ALICE: "approver"}
    with Office(tmp_path, people, agent=Crashing) as o:
        o.live = o.launch(antom_key=antom_key)
        plan = Plan(o.agent.home)
        Scenario(o, 0).run()  # and the shim has found its plan
        plan.arm(0, mode)
        Scenario(o, "count").run()
        points, at, done = plan.count, FIRST, []
        assert points > 50
        while True:
            s = Scenario(o, at)
            plan.arm(at, mode)
            try:
                s.run()
            except AssertionError as error:
                raise AssertionError(f"{mode}, point {at} of {points}: {error}") from error
            if not plan.fired:  # the way to the end has no such point
                break
            done.append(s.change)
            at += STEP
        plan.arm(0, mode)
        deeds = deeds_of(o)
        for what in ("change_open", "change_approve", "profile_set"):
            assert len(deeds[what]) == len(set(deeds[what])), what
            assert set(done) <= set(deeds[what]), what
        o.ctl("audit", "verify")  # every line, and its exit status
        with capfd.disabled():  # of a worker only this reaches the terminal
            print(f"\nchange, {mode}: {points} points, one of {STEP} hit: "
                  f"{len(done)} points, {len(done)} ok (seed {SEED})",
                  file=sys.__stderr__, flush=True)
