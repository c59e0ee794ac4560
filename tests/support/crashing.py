"""The steward killed, or the power cut, before a write or sync to the disk of one's choice: the agent with
tests/support/crashshim.c linked in, and staff who repeat what was cut off."""
import mmap
import os
import random
import struct
import sys
import time

from agent_fixture import SLOW, Agent
from antom_client import AntomError, Closed
from signing import wait_until
from staffing import OWN
from wire import Caller

MODES = {"kill": 0, "half": 1, "cut": 2}
SEED = int(os.environ.get("ANTAG_SEED", random.SystemRandom().randrange(1 << 32)))
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


class Staff:
    """What is done to an office by people who repeat what was cut off. Connections live as long as the steward they lead
    to."""

    def __init__(self, office):
        self.o, self.callers = office, office.__dict__.setdefault("callers", {})

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

    def settle(self):
        """Until every mail is out."""
        def out():
            mails = self.sure(OWN, "mail_list")["mails"]
            return not [m for m in mails if m["state"] == "queued"]
        wait_until("the mails", out, ENOUGH_S)


def every_point(office, name, mode, step, scenario, capfd, least):
    """Runs `scenario(number)`, armed at every point, or one of `step`, up to the last; those that were hit. Prints how
    many there were."""
    plan = Plan(office.agent.home)
    scenario("first").run()  # and the shim has found its plan
    plan.arm(0, mode)
    scenario("count").run()
    points, at, done = plan.count, 1 + SEED % step, []
    assert points > least
    while True:
        s = scenario(at)
        plan.arm(at, mode)
        try:
            s.run()
        except AssertionError as error:
            raise AssertionError(f"{mode}, point {at} of {points}: {error}") from error
        if not plan.fired:  # the way to the end has no such point
            break
        done.append(s)
        at += step
    plan.arm(0, mode)
    office.ctl("audit", "verify")  # every line, and its exit status
    with capfd.disabled():  # of a worker only this reaches the terminal
        print(f"\n{name}, {mode}: {points} points, one of {step} hit: {len(done)} points, {len(done)} ok (seed {SEED})",
              file=sys.__stderr__, flush=True)
    return done
