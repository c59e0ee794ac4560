"""What the wire tests share: callers of other uids, a well-behaved neighbour, processes held still."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

import judge
from agent_fixture import SLOW, Agent
from antom_client import AntomError, Client, Closed, frame

PAY = "/ams/api/v1/payments/pay"
SENT_PAY = "/ams/sandbox/api/v1/payments/pay"  # what a sandbox profile makes of it


# ---- messages


def request(id_, method, params=None):
    return frame([0, id_, method, {} if params is None else params])


def sign_params(profile, **more):
    return {"profile": profile, "method": "POST", "uri": PAY, "body": b"{}", **more}


def check_refusal(message, id_, name, field=None):
    """An answer that failed, of the form that PROTOCOL.md gives it."""
    shape, got_id, error, result = message
    assert (shape, got_id, result) == (1, id_, None), message
    assert error["name"] == name, error
    assert error["message"].isascii() and error["message"].isprintable() and len(error["message"]) <= 511, error
    assert set(error) <= {"code", "name", "class", "message", "field", "retry_after_ms"}, error
    assert error.get("field") == field, error
    return error


def refused(client, data, id_, name, field=None):
    """Send a message or bytes; the connection goes on behind the refusal."""
    client.send_raw(frame(data))
    error = check_refusal(client.recv_message(), id_, name, field)
    assert_open(client)
    return error


def broken_off(client, data, id_, name, field=None):
    """Send raw bytes; the refusal is the last that comes."""
    with contextlib.suppress(Closed):  # the agent may end before it has read all
        client.send_raw(data)
    error = check_refusal(client.recv_message(), id_, name, field)
    assert_closed(client)
    return error


def assert_open(client):
    client.next_id = 0x40000000  # away from the ids that tests choose
    assert client.call("health")["state"] == "ready"


def assert_closed(client, within_s=None):
    """The next that comes is the end."""
    if within_s is not None:
        client.timeout = within_s
    with pytest.raises(Closed):
        raise AssertionError(f"not closed, but: {client.recv_message()}")


def answers_until_end(client):
    """All messages up to the end of the connection."""
    got = []
    try:
        while True:
            got.append(client.recv_message())
    except Closed:
        return got


def by_id(messages):
    """id -> (error, result); an id that is answered twice fails."""
    out = {}
    for shape, id_, error, result in messages:
        assert shape == 1 and id_ not in out, (id_, error)
        out[id_] = (error, result)
    return out


def wait_for(what, seconds=10.0):
    """Poll `what` until it gives something true, which is returned."""
    end = time.monotonic() + seconds * SLOW
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, "did not come to be in time"
        time.sleep(0.01)


# ---- callers


class Caller(Client):
    """A client whose connection was made by a process of another uid, gid and groups: the kernel keeps
    the credentials of connect."""

    CONNECT = ("import socket, sys\n"
               "s = socket.socket(socket.AF_UNIX)\n"
               "s.connect(sys.argv[1])\n"
               "socket.send_fds(socket.socket(fileno=0), [b'x'], [s.fileno()])\n")

    def __init__(self, path, uid, gid=None, groups=(), timeout=10.0 * SLOW):
        gid = uid if gid is None else gid
        self.who = [f"--reuid={uid}", f"--regid={gid}",
                    "--groups=" + ",".join(map(str, groups)) if groups else "--clear-groups"]
        super().__init__(path, timeout)

    def connect(self):
        self.close()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(["setpriv", *self.who, "/usr/bin/python3", "-I", "-c", self.CONNECT, self.path],
                           stdin=theirs, check=True, timeout=30 * SLOW)
            ours.settimeout(10 * SLOW)
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        self.sock = socket.socket(fileno=fds[0])


def connect(path, timeout=None):
    return Client(path, timeout or 10.0 * SLOW)


def silent(path):
    """A connection that has sent nothing."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10 * SLOW)
    s.connect(path)
    return s


class Neighbour:
    """A well-behaved client of agent.sock in a thread: signs, verifies the signature, asks for health.
    Whatever happens beside it, every call of its is right and answered in time."""

    CALL_S = 2.0  # far over what a call needs, far under any time limit of the agent

    def __init__(self, agent, profile="shop/sandbox"):
        self.path, self.profile = agent.agent_sock, profile
        self.public = judge.load_public(agent.ctl("key", "export", profile)["public_key"])
        self.client_id = agent.ctl("profile", "show", profile)["client_id"]
        self.calls, self.slowest, self.error = 0, 0.0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _call(self, client):
        body = b'{"call":%d}' % self.calls
        begun = time.monotonic()
        got = client.call("sign_request", **sign_params(self.profile, body=body))
        self.slowest = max(self.slowest, time.monotonic() - begun)
        judge.judge_request(self.public, "POST", SENT_PAY, self.client_id, got["headers"], body)
        assert client.call("health")["state"] == "ready"
        self.calls += 1

    def _run(self):
        try:
            with connect(self.path) as client:
                while not self.ended.wait(0.005):
                    self._call(client)
        except BaseException as error:  # told by the test's own thread
            self.error = error

    def __enter__(self):
        self.thread.start()
        wait_for(lambda: self.calls > 0 or self.error)
        return self

    def __exit__(self, kind, *_):
        before = self.calls
        if kind is None:  # it must be alive at the end, too
            wait_for(lambda: self.calls > before or self.error)
        self.ended.set()
        self.thread.join(30 * SLOW)
        if kind is None:
            assert self.error is None, repr(self.error)
            assert not self.thread.is_alive()
            assert self.slowest < self.CALL_S * SLOW, f"a call took {self.slowest:.2f} s"


# ---- processes


def state_of(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0]


@contextlib.contextmanager
def held(pid):
    """The process stands still meanwhile: what it has to do stays undone."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: state_of(pid) == "T")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"no VmRSS of {pid}")


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def running(conf=None):
    """An agent that can sign as shop/sandbox. Whatever was done to it, no role of it has ended."""
    agent = Agent(conf=conf)
    try:
        agent.start()
        agent.make_profile("shop")
        yield agent
        agent.check_reports()
        for role in agent.roles():
            assert role["restarts"] == 0 and role["state"] == "ready", (role, agent.log_text()[-4000:])
    finally:
        agent.remove()


__all__ = ["AntomError", "Caller", "Client", "Closed", "Neighbour", "PAY", "SENT_PAY", "SLOW", "answers_until_end",
           "assert_closed", "assert_open", "broken_off", "by_id", "check_refusal", "connect", "fd_count",
           "frame", "held", "refused", "request", "rss_kib", "running", "sign_params", "silent", "wait_for"]
