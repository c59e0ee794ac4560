"""The steward is killed, or the power is cut, before every single write and sync to the disk that a change makes from its
opening to its application. Whatever the point: the registry opens, nothing that was said to be done is lost, nothing is
done twice or half, and a mail that comes again has the same Message-ID."""
import os
import time

import pytest

from agent_fixture import SLOW
from crashing import ENOUGH_S, MODES, Crashing, Staff, every_point
from signing import wait_until
from staffing import ALICE, OFFICER, OWN, Office

pytestmark = pytest.mark.skipif(OWN != 0, reason="as root: staff have uids of their own")
STEP = 1 if os.environ.get("ANTAG_FULL") == "1" else 4  # each run hits others, all of them with --full


class Scenario(Staff):
    """A change of the notification URL, from its opening to its application, by staff who repeat what was cut off."""

    def __init__(self, office, number):
        super().__init__(office)
        self.url, self.change = f"https://pay.example/{number}", None

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
        done = [s.change for s in every_point(o, "change", mode, STEP, lambda n: Scenario(o, n), capfd, 50)]
        deeds = deeds_of(o)
        for what in ("change_open", "change_approve", "profile_set"):
            assert len(deeds[what]) == len(set(deeds[what])), what
            assert set(done) <= set(deeds[what]), what
