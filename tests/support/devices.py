"""A keyring of each kind, with the device that holds its keys, and what a device that hangs may do to others."""
import contextlib
import time

from agent_fixture import SLOW
from antom_client import Client
from signing import PAY, SANDBOX, sign
from softhsm import Token
from swtpm import Tpm


@contextlib.contextmanager
def keyring(kind, folder, name="second"):
    """The section of agent.conf, and the device; None for soft."""
    if kind == "tpm":
        tpm = Tpm(folder)
        try:
            yield tpm.conf(name), tpm
        finally:
            tpm.kill()
    elif kind == "pkcs11":
        token = Token(folder)
        yield token.conf(name), token
    else:
        yield f"\n[keyring {name}]\ntype = soft\n", None


def only_its_own_wait(agent, other):
    """The device of the sandbox profile hangs: its callers get their answer when their time is over, and `other` signs."""
    begin = time.monotonic()
    with Client(agent.agent_sock) as c:
        waiting = [c.send("sign_request", profile=SANDBOX, method="POST", uri=PAY, body=b"{}", deadline_ms=1500)
                   for _ in range(8)]
        for _ in range(20):
            sign(agent, other)
        assert time.monotonic() - begin < 1.5 * SLOW, "others waited for it"
        names = {c.recv_message()[2]["name"] for _ in waiting}
    assert names <= {"DEADLINE", "BUSY", "BACKEND"}
    assert time.monotonic() - begin < 5 * SLOW
    agent.ctl("status")
