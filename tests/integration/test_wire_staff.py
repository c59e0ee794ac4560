"""Bad input to staff.sock: frames, params, memory files, crowds, callers who are not enrolled. What is wrong is
refused by name or ends its connection, while staff and payment services beside it notice nothing."""
import contextlib
import fcntl
import os
import random
import socket
import struct
import subprocess
import threading
import time

import msgpack
import pytest

import judge
from agent_fixture import as_uid
from wire import (SLOW, AntomError, Caller, Closed, Neighbour, answers_until_end, assert_closed, by_id, check_refusal,
                  connect, fd_count, frame, request, running, silent, wait_for)

FRAME = 256 * 1024  # of the staff socket
IMPORT = 64 * 1024
STRANGER, NOBODY = 10001, 65534
FIRST_MS = int(800 * SLOW)


@pytest.fixture(scope="module")
def agent():
    with running(f"[limits]\nfirst_frame_ms = {FIRST_MS}\nstaff_connections = 16\n") as a:
        a.ctl("app", "create", "keys", "--role", "merchant", "--region", "SG", "--product", "Checkout", "--currency",
              "USD")
        with Neighbour(a):
            yield a


@pytest.fixture
def client(agent):
    with connect(agent.staff_sock) as c:
        yield c


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


# ---- frames


def test_length(client):
    broken_off(client, b"\0\0\0\0", None, "BAD_FRAME")


@pytest.mark.parametrize("size", [FRAME + 1, 2 ** 32 - 1])
def test_length_over_the_limit(client, size):
    broken_off(client, struct.pack(">I", size), None, "FRAME_TOO_LARGE")


def test_largest_frame(client):
    value = msgpack.packb([0, 7, "status", {"x": bytes(FRAME - 20)}])
    value = msgpack.packb([0, 7, "status", {"x": bytes(FRAME - 20 + FRAME - len(value))}])
    assert len(value) == FRAME
    refused(client, value, 7, "BAD_PARAM", "x")


def test_refusal_behind_much_that_is_not_read(client):
    broken_off(client, b"\xff\xff\xff\xff" + bytes(1 << 20), None, "FRAME_TOO_LARGE")


@pytest.mark.parametrize("half", [True, False], ids=["half-close", "close"])
def test_every_prefix(agent, half):
    whole = request(7, "key_list", {"profile": "shop/sandbox"})
    for cut in range(len(whole) + 1):
        with connect(agent.staff_sock) as c:
            c.send_raw(whole[:cut])
            if not half:
                continue
            c.sock.shutdown(socket.SHUT_WR)
            assert [m[:3] for m in answers_until_end(c)] == ([[1, 7, None]] if cut == len(whole) else []), cut


def test_every_shorter_value(agent):
    value = msgpack.packb([0, 7, "key_list", {"profile": "shop/sandbox"}])
    for cut in range(1, len(value)):
        with connect(agent.staff_sock) as c:
            broken_off(c, frame(value[:cut]), 7 if cut >= 3 else None, "BAD_FRAME")


def test_byte_by_byte(client):
    for byte in request(7, "app_list"):
        client.send_raw(bytes([byte]))
        time.sleep(0.001)
    assert client.recv_message()[:3] == [1, 7, None]


def test_two_frames_at_once(client):
    """Pipelined: one after the other, in order."""
    client.send_raw(request(1, "app_list") + request(2, "key_list", {"profile": "shop/sandbox"}) + request(3, "nothing")
                    + request(4, "version"))
    got = [client.recv_message() for _ in range(4)]
    assert [m[1] for m in got] == [1, 2, 3, 4]
    check_refusal(got[2], 3, "UNKNOWN_METHOD", "method")


def test_half_close_with_work_in_flight(agent):
    with connect(agent.staff_sock) as c:
        c.send_raw(b"".join(request(i, "app_list") for i in range(20)))
        c.sock.shutdown(socket.SHUT_WR)
        got = by_id(answers_until_end(c))
        assert set(got) == set(range(20)) and all(error is None for error, _ in got.values())


NO_REQUESTS = {"nil": None, "an array": [], "an event": [2, "lock", {}], "an answer": [1, 7, None, {}], "shape 3": [3, 7],
               "2^31": [0, 2 ** 31, "status", {}], "-1": [0, -1, "status", {}], "nil id": [0, None, "status", {}],
               "text id": [0, "7", "status", {}], "float id": [0, 7.0, "status", {}]}


@pytest.mark.parametrize("message", NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
def test_no_request(client, message):
    with contextlib.suppress(Closed):
        client.send_raw(frame(msgpack.packb(message)))
    got = client.recv_message()
    check_refusal(got, got[1], "BAD_FRAME")
    assert got[1] in (None, 7 if message and message[0] == 1 else None)
    assert_closed(client)


BAD_REQUESTS = {
    "three values": msgpack.packb([0, 7, "status"]), "five": msgpack.packb([0, 7, "status", {}, 1]),
    "method": msgpack.packb([0, 7, 7, {}]), "params": msgpack.packb([0, 7, "status", 1]),
    "list": msgpack.packb([0, 7, "status", [1]]), "c1": b"\x94\x00\x07\xc1\x80", "ext": b"\x94\x00\x07\xa6status\xd4\x01a",
    "deep": b"\x94\x00\x07\xa6status" + b"\x91" * 100000 + b"\x00", "many": b"\x94\x00\x07\xa6status\xdf\xff\xff\xff\xff",
    "behind": msgpack.packb([0, 7, "status", {}]) + b"\0",
}


@pytest.mark.parametrize("value", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_request(client, value):
    broken_off(client, frame(value), 7, "BAD_FRAME")


@pytest.mark.parametrize("value", [b"\x82\xa7profile\xa1a\xa7profile\xa1b", b"\x82\xa7profile\xa1a\xc4\x07profile\xa1a"],
                         ids=["text", "text and bytes"])
def test_key_twice(client, value):
    broken_off(client, frame(b"\x94\x00\x07\xa8key_list" + value), 7, "BAD_PARAM", "profile")


# ---- methods and params


@pytest.mark.parametrize("name", ["", "sign_request", "health", "hello", "Lock", "lock\0", "m" * 100000, b"\xff"],
                         ids=lambda n: repr(n[:12]))
def test_unknown_method(client, name):
    refused(client, [0, 7, name, {}], 7, "UNKNOWN_METHOD", "method")


PARAMS = [
    ("status", {"x": 1}, "x"), ("lock", {"force": True}, "force"), ("app_show", {}, "app"),
    ("app_show", {"app": 7}, "app"), ("app_show", {"app": ""}, "app"), ("app_show", {"app": "a" * 33}, "app"),
    ("app_show", {"app": "a\0b"}, "app"), ("app_show", {"app": b"\xff"}, "app"),
    ("key_list", {}, "profile"), ("key_list", {"profile": "p" * 41}, "profile"),
    ("key_activate", {"profile": "shop/sandbox", "version": "1"}, "version"),
    ("key_activate", {"profile": "shop/sandbox", "version": 1.0}, "version"),
    ("key_activate", {"profile": "shop/sandbox", "version": 0}, "version"),
    ("key_activate", {"profile": "shop/sandbox", "version": -1}, "version"),
    ("key_activate", {"profile": "shop/sandbox", "version": 2 ** 32}, "version"),
    ("key_activate", {"profile": "shop/sandbox", "version": True}, "version"),
    ("key_activate", {"profile": "shop/sandbox"}, "version"),
    ("key_export", {"profile": "shop/sandbox", "pem": 1}, "pem"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1}, "ops"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": []}, "ops"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": "sign"}, "ops"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign", 7]}, "ops"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["steal"]}, "ops"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 2 ** 32 - 1, "ops": ["sign"]}, "uid"),
    ("grant_add", {"profile": "shop/sandbox", "uid": NOBODY, "ops": ["sign"]}, "uid"),
    ("grant_add", {"profile": "shop/sandbox", "gid": NOBODY, "ops": ["sign"]}, "gid"),
    ("grant_add", {"profile": "shop/sandbox", "ops": ["sign"]}, "uid"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "gid": 1, "ops": ["sign"]}, "uid"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "paths": ["x"]}, "paths"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "paths": ["/***"]}, "paths"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "paths": ["/" + "x" * 512]}, "paths"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "paths": ["/x"] * 33}, "paths"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "methods": ["post"]}, "methods"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "max_body": 1048577}, "max_body"),
    ("grant_remove", {"grant": 0}, "grant"), ("grant_remove", {"grant": 2 ** 63}, "grant"),
    ("profile_set", {"profile": "shop/sandbox", "client_id": ""}, "client_id"),
    ("profile_set", {"profile": "shop/sandbox", "client_id": "c" * 65}, "client_id"),
]


@pytest.mark.parametrize("method, params, field", PARAMS, ids=[f"{i}-{p[0]}-{p[2]}" for i, p in enumerate(PARAMS)])
def test_bad_param(client, method, params, field):
    refused(client, [0, 7, method, params], 7, "BAD_PARAM", field)


def test_garbage(agent):
    """Nothing that turned bytes can name changes anything here: the methods only list and show."""
    seed = int(os.environ.get("ANTAG_SEED", "0")) or random.randrange(2 ** 32)
    print("ANTAG_SEED", seed)
    dice = random.Random(seed)
    good = request(7, "key_show", {"profile": "shop/sandbox", "version": 1})
    for _ in range(200):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with connect(agent.staff_sock) as c:
            c.send_raw(bytes(data))
            c.sock.shutdown(socket.SHUT_WR)
            for shape, id_, error, result in answers_until_end(c):
                assert shape == 1 and (error is None) != (result is None), bytes(data)


# ---- memory files


def memory_file(data, sealed=True):
    fd = os.memfd_create("key", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if sealed:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    return fd


@contextlib.contextmanager
def closing_fds(*fds):
    try:
        yield list(fds)
    finally:
        for fd in fds:
            os.close(fd)


def no_growth(agent, before):
    """No descriptor stays in the steward."""
    steward = agent.pid_of("steward")
    wait_for(lambda: fd_count(steward) <= before)


IMPORTS = [("key_import", {"profile": "keys/sandbox"}), ("antom_key_add", {"profile": "keys/sandbox"})]


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
        "over the limit": [memory_file(bytes(IMPORT + 1))], "a pipe": a_pipe(), "a file": [os.open(tmp_path / "file", os.O_RDONLY)],
        "a folder": [os.open(tmp_path, os.O_RDONLY)], "/dev/zero": [os.open("/dev/zero", os.O_RDONLY)],
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
@pytest.mark.parametrize("data", [b"", b"\n", b"x", b"\0" * 100, b"-----BEGIN PRIVATE KEY-----\n", bytes(IMPORT)],
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
        broken_off(c, request(7, *IMPORTS[0]), None, "BAD_FRAME", None, fds)


@pytest.mark.parametrize("at", [1, 3, 4, 20])
def test_files_with_a_later_byte(agent, steady, at):
    data = request(7, *IMPORTS[0])
    with closing_fds(memory_file(b"x")) as fds, connect(agent.staff_sock) as c:
        c.send_raw(data[:at])
        broken_off(c, data[at:], None, "BAD_FRAME", None, fds)


def test_files_with_a_frame_that_never_ends(agent, steady):
    with closing_fds(memory_file(b"x")) as fds, connect(agent.staff_sock) as c:
        send(c, request(7, *IMPORTS[0])[:-1], fds)


def test_an_import_beside_all_this(agent, client):
    """The same bytes in the right form are taken."""
    key = judge.new_key()
    with closing_fds(memory_file(judge.pkcs8(key).encode())) as fds:
        send(client, request(7, "key_import", {"profile": "keys/sandbox"}), fds)
        client.timeout = 30 * SLOW
        shape, id_, error, result = client.recv_message()
    assert error is None and result["origin"] == "imported" and result["bits"] == 2048


# ---- callers


@pytest.mark.parametrize("uid", [STRANGER, NOBODY])
def test_not_enrolled(agent, uid):
    """Told nothing: not which methods there are, nor what their params are."""
    with Caller(agent.staff_sock, uid) as c:
        texts = set()
        for method, params in (("status", {}), ("lock", {}), ("unlock", {}), ("key_export", {"profile": "shop/sandbox"}),
                               ("no_such", {}), ("app_show", {"wrong": 1}), ("version", {}), ("doctor", {})):
            send(c, request(7, method, params))
            error = check_refusal(c.recv_message(), 7, "NOT_STAFF")
            texts.add((error["code"], error["class"], error["message"]))
        assert len(texts) == 1 and texts.pop()[1] == "denied"
        with closing_fds(memory_file(b"x")) as fds:
            send(c, request(7, *IMPORTS[0]), fds)
            check_refusal(c.recv_message(), 7, "NOT_STAFF")
    with Caller(agent.staff_sock, uid) as c:
        broken_off(c, frame(b"\xc1"), None, "BAD_FRAME")


def test_not_enrolled_by_group(agent):
    """Enrolment is by uid; the gids of staff make nobody staff."""
    with Caller(agent.staff_sock, STRANGER, gid=0, groups=[0]) as c:
        send(c, request(7, "status"))
        check_refusal(c.recv_message(), 7, "NOT_STAFF")


# ---- time and crowds


@pytest.mark.parametrize("begin", [b"", b"\0", request(1, "status")[:-1]], ids=["nothing", "one byte", "all but one"])
def test_first_frame(agent, begin):
    begun = time.monotonic()
    with contextlib.closing(silent(agent.staff_sock)) as s:
        s.sendall(begin)
        s.settimeout(10 * SLOW)
        assert s.recv(1) == b""
        assert FIRST_MS / 1000 * 0.9 <= time.monotonic() - begun < FIRST_MS / 1000 + 4 * SLOW


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
        subprocess.run([*as_uid(uid), "/usr/bin/python3", "-I", "-c", CROWD, agent.staff_sock, str(60 * SLOW)], check=True,
                       timeout=120 * SLOW)


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
