"""Bad input to staff.sock: frames, params, callers who are not enrolled. What is wrong is refused by name or ends
its connection, while payment services beside it notice nothing."""
import contextlib
import os
import random
import socket
import struct
import time

import msgpack
import pytest

from staff_wire import (CONF, IMPORT, NOBODY, STRANGER, broken_off, closing_fds, memory_file, refused, send)
from wire import (Caller, Closed, Neighbour, answers_until_end, assert_closed, by_id, check_refusal, connect, frame,
                  request, running)

FRAME = 256 * 1024  # of the staff socket


@pytest.fixture(scope="module")
def agent():
    with running(CONF) as a, Neighbour(a):
        yield a


@pytest.fixture
def client(agent):
    with connect(agent.staff_sock) as c:
        yield c


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


NO_REQUESTS = {"nil": None, "an array": [], "an event": [2, "lock", {}], "an answer": [1, 7, None, {}],
               "shape 3": [3, 7], "2^31": [0, 2 ** 31, "status", {}], "-1": [0, -1, "status", {}],
               "nil id": [0, None, "status", {}],
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
    "list": msgpack.packb([0, 7, "status", [1]]), "c1": b"\x94\x00\x07\xc1\x80",
    "ext": b"\x94\x00\x07\xa6status\xd4\x01a", "deep": b"\x94\x00\x07\xa6status" + b"\x91" * 100000 + b"\x00",
    "many": b"\x94\x00\x07\xa6status\xdf\xff\xff\xff\xff",
    "behind": msgpack.packb([0, 7, "status", {}]) + b"\0",
}


@pytest.mark.parametrize("value", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_request(client, value):
    broken_off(client, frame(value), 7, "BAD_FRAME")


@pytest.mark.parametrize("value", [b"\x82\xa7profile\xa1a\xa7profile\xa1b",
                                   b"\x82\xa7profile\xa1a\xc4\x07profile\xa1a"],
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
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "rate": 0}, "rate"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "rate": 1000001}, "rate"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "burst": 5}, "burst"),
    ("grant_add", {"profile": "shop/sandbox", "uid": 1, "ops": ["sign"], "rate": 5, "burst": 0}, "burst"),
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


# ---- callers


@pytest.mark.parametrize("uid", [STRANGER, NOBODY])
def test_not_enrolled(agent, uid):
    """Told nothing: not which methods there are, nor what their params are."""
    with Caller(agent.staff_sock, uid) as c:
        texts = set()
        for method, params in (("status", {}), ("lock", {}), ("unlock", {}),
                               ("key_export", {"profile": "shop/sandbox"}),
                               ("no_such", {}), ("app_show", {"wrong": 1}), ("version", {}), ("doctor", {})):
            send(c, request(7, method, params))
            error = check_refusal(c.recv_message(), 7, "NOT_STAFF")
            texts.add((error["code"], error["class"], error["message"]))
        assert len(texts) == 1 and texts.pop()[1] == "denied"
        with closing_fds(memory_file(b"x")) as fds:
            send(c, request(7, *IMPORT), fds)
            check_refusal(c.recv_message(), 7, "NOT_STAFF")
    with Caller(agent.staff_sock, uid) as c:
        broken_off(c, frame(b"\xc1"), None, "BAD_FRAME")


def test_not_enrolled_by_group(agent):
    """Enrolment is by uid; the gids of staff make nobody staff."""
    with Caller(agent.staff_sock, STRANGER, gid=0, groups=[0]) as c:
        send(c, request(7, "status"))
        check_refusal(c.recv_message(), 7, "NOT_STAFF")
