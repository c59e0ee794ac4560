"""What the tests of staff.sock share: requests with memory files, refusals, and staff at work beside them."""
import contextlib
import fcntl
import os
import socket
import threading
import time

from agent_fixture import SLOW
from wire import Closed, assert_closed, check_refusal, connect, frame, wait_for

FIRST_MS = int(800 * SLOW)
STRANGER, NOBODY = 10001, 65534
CONF = f"[limits]\nfirst_frame_ms = {FIRST_MS}\nstaff_connections = 16\n"
IMPORT = ("key_import", {"profile": "keys/sandbox"})


def alive(client):
    client.next_id = 0x40000000
    assert client.call("status")["state"] == "ready"


def refused(client, data, id_, name, field=None, fds=()):
    send(client, frame(data), fds)
    error = check_refusal(client.recv_message(), id_, name, field)
    alive(client)
    return error


def broken_off(client, data, id_, name, field=None, fds=()):
    with contextlib.suppress(Closed):
        send(client, data, fds)
    error = check_refusal(client.recv_message(), id_, name, field)
    assert_closed(client)
    return error


def send(client, data, fds=()):
    """The descriptors go with the first byte."""
    if fds:
        client.sock.settimeout(client.timeout)
        socket.send_fds(client.sock, [data[:1]], list(fds))
        data = data[1:]
    client.send_raw(data)


def memory_file(data, sealed=True):
    fd = os.memfd_create("key", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if sealed:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS,
                    fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    return fd


@contextlib.contextmanager
def closing_fds(*fds):
    try:
        yield list(fds)
    finally:
        for fd in fds:
            os.close(fd)


class Staff:
    """Staff at work in a thread: each command is answered in time."""

    def __init__(self, agent):
        self.agent, self.count, self.slowest, self.error = agent, 0, 0.0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.ended.is_set():
                begun = time.monotonic()
                with connect(self.agent.staff_sock) as c:
                    assert c.call("status")["state"] == "ready"
                    assert c.call("key_list", profile="shop/sandbox")["keys"]
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.count += 1
                time.sleep(0.01)
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        before = self.count
        if kind is None:
            wait_for(lambda: self.count > before or self.error)
        self.ended.set()
        self.thread.join(30 * SLOW)
        if kind is None:
            assert self.error is None, repr(self.error)
            assert self.slowest < 3 * SLOW, f"staff waited {self.slowest:.2f} s"
