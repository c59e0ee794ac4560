"""A key is generated in each kind of keyring while the steward is killed, or the power is cut, before every single write and
sync of it. Whatever the point: a key whose public half was shown signs, and what nobody claims is gone from the token."""
import os
import time
import types

import pytest

import devices
import judge
from agent_fixture import SLOW
from crashing import ENOUGH_S, MODES, Crashing, Staff, every_point
from signing import SANDBOX, SANDBOX_PAY, try_to_sign, wait_until
from staffing import OWN

CLIENT_ID = "SANDBOX_5Y0000000000000"
STEP = 1 if os.environ.get("ANTAG_FULL") == "1" else 12  # each run hits others, all of them with --full


class Scenario(Staff):
    def __init__(self, office, device):
        super().__init__(office)
        self.device, self.url, self.client_id = device, "a key", office.client_id

    def revive(self):
        """A power cut is one for the TPM, too."""
        if self.o.agent.process.poll() is not None and hasattr(self.device, "restart"):
            self.device.restart()
        super().revive()

    def keys(self):
        return self.sure(OWN, "key_list", profile=SANDBOX)["keys"]

    def signed_by(self, version):
        self.revive()
        answer = try_to_sign(self.o.agent)
        return answer if answer is not None and answer["version"] == version else None

    def run(self):
        before = {k["version"] for k in self.keys()}
        end = time.monotonic() + ENOUGH_S * SLOW
        while not {k["version"] for k in self.keys()} - before:
            assert time.monotonic() < end, "no key is made"
            said = self.call(OWN, "key_generate", profile=SANDBOX, keyring="second")
            assert said is None or isinstance(said, dict), said
        keys = self.keys()
        made = max(k["version"] for k in keys)
        assert len({k["version"] for k in keys}) == len(keys)
        while [k["state"] for k in self.keys() if k["version"] == made] != ["active"]:
            said = self.call(OWN, "key_activate", profile=SANDBOX, version=made)
            assert said is None or isinstance(said, dict) or said == "EXISTS", said
        answer = wait_until("the new key signs", lambda: self.signed_by(made), ENOUGH_S)
        public = judge.load_public(self.sure(OWN, "key_show", profile=SANDBOX, version=made)["public_key"])
        judge.judge_request(public, "POST", SANDBOX_PAY, self.client_id, answer["headers"], b"{}")
        if hasattr(self.device, "objects"):
            wait_until("nothing unclaimed is left in the token", lambda: self.device.objects() == 2 * len(self.keys()),
                       ENOUGH_S)


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("kind", ["soft", "pkcs11", "tpm"])
def test_every_point(tmp_path, kind, mode, capfd):
    with devices.keyring(kind, tmp_path) as (conf, device), Crashing(conf=conf) as agent:
        agent.make_profile("shop", "sandbox", client_id=CLIENT_ID, key=False)
        office = types.SimpleNamespace(agent=agent, ctl=agent.ctl, client_id=CLIENT_ID)
        assert every_point(office, f"generate in {kind}", mode, STEP, lambda n: Scenario(office, device), capfd, 8)
