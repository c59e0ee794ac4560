"""Memory files beside the frames of staff.sock: not sealed, no memory files at all, too large, too many, where none
belong. Each is refused by name, no descriptor stays in the steward, and nothing waits on a pipe."""
import fcntl
import os
import socket
import time

import pytest

import judge
from staff_wire import CONF, IMPORT, alive, broken_off, closing_fds, memory_file, refused, send
from wire import SLOW, Neighbour, check_refusal, connect, fd_count, request, running, wait_for

LARGEST = 64 * 1024


@pytest.fixture(scope="module")
def agent():
    with running(CONF) as a:
        a.ctl("app", "create", "keys", "--role", "merchant", "--region", "SG", "--product", "Checkout", "--currency",
              "USD")
        with Neighbour(a):
            yield a


@pytest.fixture
def client(agent):
    with connect(agent.staff_sock) as c:
        yield c


def no_growth(agent, before):
    """No descriptor stays in the steward."""
    steward = agent.pid_of("steward")
    wait_for(lambda: fd_count(steward) <= before)


IMPORTS = [IMPORT, ("antom_key_add", {"profile": "keys/sandbox"})]


@pytest.fixture
def steady(agent):
    """The steward holds as many descriptors afterwards as before."""
    before = fd_count(agent.pid_of("steward"))
    yield
    no_growth(agent, before + 1)  # one connection may be on its way out


def a_pipe():
    read, write = os.pipe()
    return [read, write]  # the write end stays open: to read it would wait for ever


def bad_files(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100)
    half = memory_file(b"x", sealed=False)
    fcntl.fcntl(half, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    pair = socket.socketpair()
    return {
        "not sealed": [memory_file(b"x" * 100, sealed=False)], "not sealed against writing": [half],
        "over the limit": [memory_file(bytes(LARGEST + 1))], "a pipe": a_pipe(),
        "a file": [os.open(tmp_path / "file", os.O_RDONLY)], "a folder": [os.open(tmp_path, os.O_RDONLY)],
        "/dev/zero": [os.open("/dev/zero", os.O_RDONLY)],
        "a socket": [pair[0].detach(), pair[1].detach()],
    }


@pytest.mark.parametrize("method, params", IMPORTS, ids=[i[0] for i in IMPORTS])
def test_what_is_no_sealed_memory_file(agent, steady, tmp_path, method, params):
    for name, fds in bad_files(tmp_path).items():
        with closing_fds(*fds), connect(agent.staff_sock) as c:
            begun = time.monotonic()
            error = refused(c, [0, 7, method, params], 7, "BAD_PARAM", "file", fds[:1])
            assert time.monotonic() - begun < 8 * SLOW, name
            assert ("at most 65536" if name == "over the limit" else "sealed") in error["message"], (name, error)


@pytest.mark.parametrize("method, params", IMPORTS, ids=[i[0] for i in IMPORTS])
@pytest.mark.parametrize("data", [b"", b"\n", b"x", b"\0" * 100, b"-----BEGIN PRIVATE KEY-----\n", bytes(LARGEST)],
                         ids=["empty", "line", "letter", "zeros", "begin", "largest"])
def test_what_is_no_key(agent, steady, method, params, data):
    with closing_fds(memory_file(data)) as fds, connect(agent.staff_sock) as c:
        send(c, request(7, method, params), fds)
        error = check_refusal(c.recv_message(), 7, "KEY_FORM", None)
        assert error["class"] == "caller"
        alive(c)


def test_none_where_one_is_needed(client):
    for method, params in IMPORTS:
        refused(client, [0, 7, method, params], 7, "BAD_PARAM")


def test_files_where_none_are_expected(agent, steady):
    for method, params in (("status", {}), ("app_list", {}), ("key_list", {"profile": "shop/sandbox"}), ("lock", {}),
                           ("nothing", {})):
        with closing_fds(memory_file(b"x")) as fds, connect(agent.staff_sock) as c:
            send(c, request(7, method, params), fds)
            got = c.recv_message()
            assert got[2]["name"] == ("UNKNOWN_METHOD" if method == "nothing" else "BAD_PARAM"), got
            alive(c)


def test_more_than_the_method_takes(agent, steady):
    with closing_fds(memory_file(b"x"), memory_file(b"y")) as fds, connect(agent.staff_sock) as c:
        refused(c, [0, 7, "antom_key_add", IMPORTS[1][1]], 7, "BAD_PARAM", None, fds)


@pytest.mark.parametrize("count", [3, 8, 9, 64, 253])
def test_too_many(agent, steady, count):
    with closing_fds(*(memory_file(b"x") for _ in range(count))) as fds, connect(agent.staff_sock) as c:
        broken_off(c, request(7, *IMPORT), None, "BAD_FRAME", None, fds)


@pytest.mark.parametrize("at", [1, 3, 4, 20])
def test_files_with_a_later_byte(agent, steady, at):
    data = request(7, *IMPORT)
    with closing_fds(memory_file(b"x")) as fds, connect(agent.staff_sock) as c:
        c.send_raw(data[:at])
        broken_off(c, data[at:], None, "BAD_FRAME", None, fds)


def test_files_with_a_frame_that_never_ends(agent, steady):
    with closing_fds(memory_file(b"x")) as fds, connect(agent.staff_sock) as c:
        send(c, request(7, *IMPORT)[:-1], fds)


def test_an_import_beside_all_this(agent):
    """The same bytes in the right form are taken."""
    key = judge.new_key()  # first: a silent connection does not live long here
    with closing_fds(memory_file(judge.pkcs8(key).encode())) as fds, connect(agent.staff_sock) as client:
        send(client, request(7, "key_import", {"profile": "keys/sandbox"}), fds)
        client.timeout = 30 * SLOW
        shape, id_, error, result = client.recv_message()
    assert error is None and result["origin"] == "imported" and result["bits"] == 2048
