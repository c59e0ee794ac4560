"""The steward is killed, or the power is cut, before every single write and sync to the disk that a rotation of a launched
profile makes: a new key, the plan, its approval, the submission, probes, a cut-over by itself, and a rollback. Whatever
the point: the rotation goes on where it was, one key signs, and no key whose public half was shown is lost."""
import os
import re
import time

import pytest

import judge
from agent_fixture import SLOW
from crashing import ENOUGH_S, MODES, Crashing, Staff, every_point
from false_antom import FalseAntom
from signing import sign, wait_until
from staffing import ALICE, CLIENT_ID, OFFICER, OWN, Office

pytestmark = pytest.mark.skipif(OWN != 0, reason="as root: staff have uids of their own")
STEP = 1 if os.environ.get("ANTAG_FULL") == "1" else 24  # each run hits others, all of them with --full
LIVE = "shop/live"
STEPS = ("is prepared", "is approved", "is submitted", "has cut over", "is rolled back")


class Rotation(Staff):
    def __init__(self, office, antom):
        super().__init__(office)
        self.antom, self.number, self.shown = antom, 0, {}

    def all(self):
        return self.sure(OWN, "rotate_status", profile=LIVE, all=True)["rotations"]

    def now(self):
        found = next(r for r in self.all() if r["rotation"] == self.number)
        self.shown[found["new_key"]["version"]] = found["new_key"]["fingerprint"]
        return found

    def until(self, state, step):
        """Takes the step again and again until the rotation has left its state."""
        end = time.monotonic() + ENOUGH_S * SLOW
        while self.now()["state"] != state:
            assert time.monotonic() < end, f"not {state}: {self.now()}"
            step()

    def start(self):
        before = {r["rotation"] for r in self.all()}
        while not (mine := [r for r in self.all() if r["rotation"] not in before]):
            said = self.call(OFFICER, "rotate_start", profile=LIVE)
            assert said is None or isinstance(said, dict), said
        assert len(mine) == 1 and mine[0]["state"] == "prepared"
        self.number = mine[0]["rotation"]

    def request(self):
        while "change" not in self.now():
            said = self.call(OFFICER, "rotate_request", profile=LIVE)
            assert said is None or isinstance(said, dict), said
        self.change = self.now()["change"]
        self.digest = bytes.fromhex(self.sure(OWN, "change_show", change=self.change)["digest"])

    def code(self):
        end = time.monotonic() + ENOUGH_S * SLOW
        mails = lambda: self.o.mails(ALICE, f"code for change {self.change}")  # noqa: E731
        while not mails():
            assert time.monotonic() < end, "no code came"
            said = self.call(ALICE, "change_code", change=self.change, digest=self.digest)
            assert said is None or isinstance(said, dict), said
            if said is not None:
                wait_until("the code", lambda: (self.revive(), mails())[1], ENOUGH_S)
        return mails()[0].code

    def approve(self):
        code = self.code()
        end = time.monotonic() + ENOUGH_S * SLOW
        while not self.sure(OWN, "change_show", change=self.change)["approvals"]:
            assert time.monotonic() < end, "not approved"
            said = self.call(ALICE, "change_approve", change=self.change, digest=self.digest, code=code)
            assert said is None or isinstance(said, dict), said
        self.until("approved", lambda: time.sleep(0.02))

    def submit(self):
        self.antom.replace(CLIENT_ID, self.now()["new_key"]["public_key"])
        end = time.monotonic() + ENOUGH_S * SLOW
        while self.now()["state"] == "approved":
            assert time.monotonic() < end, "not submitted"
            said = self.call(OFFICER, "rotate_submit", profile=LIVE)
            assert said is None or isinstance(said, dict), said
        self.until("watching", lambda: time.sleep(0.02))

    def roll_back(self):
        self.antom.restore(CLIENT_ID, 0)

        def step():
            said = self.call(OFFICER, "rotate_rollback", profile=LIVE)
            assert said is None or isinstance(said, dict), said

        self.until("rolled_back", step)

    def check(self):
        listed = {k["version"]: k for k in self.sure(OWN, "key_list", profile=LIVE)["keys"]}
        assert [v for v, k in listed.items() if k["state"] == "active"] == [1]
        for version, fingerprint in self.shown.items():
            assert listed[version]["fingerprint"] == fingerprint and listed[version]["state"] == "retiring"
        answer = wait_until("a signature", lambda: self.signed(), ENOUGH_S)
        judge.judge_request(self.antom.keys[CLIENT_ID][0].public, "POST", "/ams/api/v1/payments/pay", CLIENT_ID,
                            answer["headers"], b"{}")
        for step in STEPS:
            got = [m for m in self.o.mails(ALICE, f"rotation of {LIVE} {step}")
                   if re.search(rf"rotation:? +{self.number}\b", m.text, re.I)]
            assert len({m.message["message-id"] for m in got}) == 1, (step, [m.text[:400] for m in got])

    def signed(self):
        self.revive()
        try:
            return sign(self.o.agent, LIVE)
        except Exception:  # told by wait_until when it goes on
            return None

    def run(self):
        for step in (self.start, self.request, self.approve, self.submit, self.roll_back, self.settle, self.check):
            step()


@pytest.mark.parametrize("mode", list(MODES))
def test_every_point(tmp_path, mode, capfd):
    people = {OFFICER: "officer", ALICE: "approver"}
    with FalseAntom(tmp_path, "replace") as antom:
        conf = f"\n[rotation]\nprobe_interval_ms = 1000\nca_file = {antom.ca}\n"
        with Office(tmp_path, people, conf=conf, agent=Crashing) as o:
            o.launch(antom_key=antom.key)
            o.approve(o.opened("profile", "set", LIVE, "--gateway", antom.url), ALICE)
            antom.register(CLIENT_ID, o.ctl("key", "export", LIVE)["public_key"])
            every_point(o, "rotation", mode, STEP, lambda n: Rotation(o, antom), capfd, 100)
            once = [(d["what"], re.match(r"rotation \d+", d["detail"])[0]) for d in o.deeds(r"(agent\.)?rotate_.*")
                    if d["what"] not in ("rotate_start", "agent.rotate_probe")]
            assert once and len(once) == len(set(once)), "a step was done twice"
