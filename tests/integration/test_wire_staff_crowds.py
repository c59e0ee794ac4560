"""Those who are slow, silent or many on staff.sock: closed at their limit, while staff is served."""
import contextlib
import socket
import subprocess
import time

import pytest

from agent_fixture import as_uid
from staff_wire import CONF, FIRST_MS, NOBODY, STRANGER, Staff, alive
from wire import (SLOW, AntomError, Caller, Neighbour, assert_closed, check_refusal, connect, request, running, silent,
                  wait_for)


@pytest.fixture(scope="module")
def agent():
    with running(CONF) as a, Neighbour(a):
        yield a


@pytest.mark.parametrize("begin", [b"", b"\0", request(1, "status")[:-1]], ids=["nothing", "one byte", "all but one"])
def test_first_frame(agent, begin):
    begun = time.monotonic()
    with contextlib.closing(silent(agent.staff_sock)) as s:
        s.sendall(begin)
        s.settimeout(10 * SLOW)
        assert s.recv(1) == b""
        assert FIRST_MS / 1000 * 0.9 <= time.monotonic() - begun < FIRST_MS / 1000 + 4 * SLOW


def test_a_thousand_that_say_nothing(agent):
    """They make room for each other, oldest first, and staff is not kept out."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(contextlib.closing(silent(agent.staff_sock))) for _ in range(1000)]
        with Staff(agent):
            for s in crowd:
                s.settimeout(FIRST_MS / 1000 + 20 * SLOW)
                with contextlib.suppress(ConnectionResetError):
                    assert s.recv(1) == b""


CROWD = ("import socket, sys\n"
         "crowd = []\n"
         "for _ in range(1000):\n"
         "    s = socket.socket(socket.AF_UNIX)\n"
         "    s.settimeout(float(sys.argv[2]))\n"
         "    s.connect(sys.argv[1])\n"
         "    crowd.append(s)\n"
         "for s in crowd:\n"
         "    assert s.recv(1) == b''\n")


@pytest.mark.parametrize("uid", [STRANGER, NOBODY])
def test_a_thousand_strangers_that_say_nothing(agent, uid):
    """From their first to their last staff notices nothing: a stranger's place is given up before one of staff."""
    with Staff(agent) as staff:
        wait_for(lambda: staff.count or staff.error)
        subprocess.run([*as_uid(uid), "/usr/bin/python3", "-I", "-c", CROWD, agent.staff_sock, str(60 * SLOW)],
                       check=True, timeout=120 * SLOW)


def test_a_crowd_that_is_not_enrolled(agent):
    """Strangers who have spoken and stay make room for staff."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Caller(agent.staff_sock, STRANGER)) for _ in range(20)]
        for c in crowd:
            with contextlib.suppress(AntomError):
                c.call("status")
            with contextlib.suppress(AntomError):
                c.send_raw(b"\0\0")
        with Staff(agent) as staff:
            wait_for(lambda: staff.count > 5 or staff.error)


def test_one_over_the_limit_of_staff(agent):
    """Staff that has spoken is not put out; one more is told to come again."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(16):
            c = stack.enter_context(connect(agent.staff_sock))
            wait_for(lambda: _speaks(c))
            clients.append(c)
        with connect(agent.staff_sock) as c:
            error = check_refusal(c.recv_message(), None, "BUSY")
            assert error["retry_after_ms"] > 0
            assert_closed(c)
        for c in clients:
            alive(c)


def _speaks(client):
    try:
        return client.call("status")["state"] == "ready"
    except AntomError:
        client.connect()  # others are still on their way out
        return False


def test_who_never_reads(agent):
    """One request is in work at a time; what is sent besides stays in the sender's socket."""
    with Staff(agent), connect(agent.staff_sock) as c:
        c.sock.settimeout(1.0)
        sent = 0
        with contextlib.suppress(socket.timeout):
            while sent < 64 << 20:
                sent += c.sock.send(request(1, "app_list") * 1000)
        assert sent < 16 << 20
