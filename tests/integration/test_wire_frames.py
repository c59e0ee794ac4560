"""Frames and messages on agent.sock that are not as PROTOCOL.md has them: each gets the error it names,
or the end of its connection, and nothing else ends."""
import os
import random
import select
import socket
import struct
import time

import msgpack
import pytest

from wire import (PAY, SLOW, Neighbour, answers_until_end, assert_closed, assert_open, broken_off, by_id, check_refusal,
                  connect, frame, held, refused, request, running, sign_params)

FRAME, BODY = 1114112, 1048576
PROFILE = "shop/sandbox"


@pytest.fixture(scope="module")
def agent():
    with running() as a, Neighbour(a):
        yield a


@pytest.fixture
def client(agent):
    with connect(agent.agent_sock) as c:
        yield c


# ---- the length


def test_length_zero(client):
    broken_off(client, b"\0\0\0\0", None, "BAD_FRAME")


@pytest.mark.parametrize("size", [FRAME + 1, 2 ** 31, 2 ** 32 - 1])
def test_length_over_the_limit_is_refused_at_once(client, size):
    broken_off(client, struct.pack(">I", size), None, "FRAME_TOO_LARGE")


def sized_verify(size):
    """A request of exactly `size` bytes: headers that are not looked at fill it."""
    params = {"profile": PROFILE, "method": "POST", "uri": PAY, "body": b"", "headers": {"x-fill": b""}}
    rest = size - len(msgpack.packb([0, 5, "verify_response", params])) - 3  # bin 32 has 3 bytes more than bin 8
    params["headers"]["x-fill"] = bytes(rest)
    value = msgpack.packb([0, 5, "verify_response", params])
    assert len(value) == size
    return value


def test_largest_frame(client):
    client.send_raw(frame(sized_verify(FRAME)))
    check_refusal(client.recv_message(), 5, "NO_ANTOM_KEY")
    assert_open(client)


def test_one_byte_more(client):
    broken_off(client, frame(sized_verify(FRAME + 1)), None, "FRAME_TOO_LARGE")


def test_a_refusal_reaches_who_goes_on_writing(client):
    """Two MiB behind a bad length: the answer must not be lost to a reset."""
    broken_off(client, b"\xff\xff\xff\xff" + bytes(2 << 20), None, "FRAME_TOO_LARGE")


def test_who_never_stops_writing_is_cut_off(agent, client):
    client.send_raw(b"\0\0\0\0")
    sent = 0
    with pytest.raises(OSError):
        while sent < 64 << 20:
            sent += client.sock.send(bytes(1 << 20))
    assert sent < 32 << 20


# ---- cut off


WHOLE = [request(7, "health"), request(7, "hello", {"versions": [1], "client": "tests/1", "trace": "cut"})]


@pytest.mark.parametrize("whole", WHOLE, ids=["health", "hello"])
@pytest.mark.parametrize("half", [True, False], ids=["half-close", "close"])
def test_every_prefix(agent, whole, half):
    """A frame that is cut off is dropped: no answer, the end."""
    for cut in range(len(whole) + 1):
        with connect(agent.agent_sock) as c:
            c.send_raw(whole[:cut])
            if not half:
                continue
            c.sock.shutdown(socket.SHUT_WR)
            got = answers_until_end(c)
            assert [m[:3] for m in got] == ([[1, 7, None]] if cut == len(whole) else []), cut


def test_every_prefix_of_the_second_frame(agent):
    """What was received whole is answered."""
    first, second = request(1, "sign_request", sign_params(PROFILE)), WHOLE[0]
    for cut in range(len(second)):
        with connect(agent.agent_sock) as c:
            c.send_raw(first + second[:cut])
            c.sock.shutdown(socket.SHUT_WR)
            assert [m[:3] for m in answers_until_end(c)] == [[1, 1, None]], cut


def test_every_way_to_split(agent, client):
    """Frames arrive in any pieces."""
    stream = request(1, "health") + request(2, "hello") + request(3, "sign_request", sign_params(PROFILE))
    for cut in range(1, len(stream)):
        client.send_raw(stream[:cut])
        time.sleep(0.0005)  # no more than a nudge: either way it must be right
        client.send_raw(stream[cut:])
        got = by_id(client.recv_message() for _ in range(3))
        assert set(got) == {1, 2, 3} and all(error is None for error, _ in got.values())


def test_every_shorter_value(agent):
    """The length is right and the value is cut off."""
    value = msgpack.packb([0, 7, "sign_request", sign_params(PROFILE)])
    for cut in range(1, len(value)):
        with connect(agent.agent_sock) as c:
            broken_off(c, frame(value[:cut]), 7 if cut >= 3 else None, "BAD_FRAME")


def test_bytes_behind_the_value(client):
    broken_off(client, frame(msgpack.packb([0, 7, "health", {}]) + b"\0"), 7, "BAD_FRAME")


def test_byte_by_byte(client):
    for byte in request(9, "sign_request", sign_params(PROFILE)):
        client.send_raw(bytes([byte]))
        time.sleep(0.001)
    assert client.recv_message()[:3] == [1, 9, None]


# ---- shapes


NO_REQUESTS = {
    "nil": None, "a number": 0, "text": "health", "a map": {}, "an empty array": [], "shape alone": [0],
    "shape 3": [3, 7, "health", {}], "shape -1": [-1, 7, "health", {}], "shape as text": ["0", 7, "health", {}],
    "shape as float": [0.0, 7, "health", {}], "shape true": [True, 7, "health", {}],
    "an answer": [1, 7, None, {}], "a refusal": [1, 7, {"code": 200}, None],
    "an answer to nobody": [1, None, {"code": 1}, None],
    "an event": [2, "key", {}],
}


@pytest.mark.parametrize("message", NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
def test_no_request(client, message):
    broken_off(client, frame(msgpack.packb(message)), None, "BAD_FRAME")


BAD_REQUESTS = {
    "three values": [0, 7, "health"], "five values": [0, 7, "health", {}, {}], "method is a number": [0, 7, 7, {}],
    "method is nil": [0, 7, None, {}], "params are a number": [0, 7, "health", 1],
    "params are text": [0, 7, "health", "x"], "params are a list": [0, 7, "health", [1]],
    "params are false": [0, 7, "health", False],
}


@pytest.mark.parametrize("message", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_request(client, message):
    broken_off(client, frame(msgpack.packb(message)), 7, "BAD_FRAME")


BAD_VALUES = {
    "never used": b"\xc1", "fixext 1": b"\xd4\x01a", "fixext 16": b"\xd8\x01" + bytes(16), "ext 8": b"\xc7\x01\x01a",
    "ext 16": b"\xc8\x00\x01\x01a", "ext 32": b"\xc9\x00\x00\x00\x01\x01a", "timestamp": b"\xd6\xff\0\0\0\0",
    "array of 4 thousand million": b"\xdd\xff\xff\xff\xff", "map of as many": b"\xdf\xff\xff\xff\xff",
    "text of as many": b"\xdb\xff\xff\xff\xff", "bytes of as many": b"\xc6\xff\xff\xff\xff",
}


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_values_that_are_not_taken(client, value):
    broken_off(client, frame(b"\x94\x00\x07\xa6health\x81\xa5trace" + value), 7, "BAD_FRAME")


def nested(depth):
    """A request `depth` deep: message, params, headers, then lists."""
    value = 0
    for _ in range(depth - 3):
        value = [value]
    return msgpack.packb([0, 7, "verify_response", {"profile": PROFILE, "method": "POST", "uri": PAY, "body": b"",
                                                    "headers": {"x": value}}])


def test_depth(client):
    refused(client, nested(8), 7, "NO_ANTOM_KEY")
    broken_off(client, frame(nested(9)), 7, "BAD_FRAME")


@pytest.mark.parametrize("depth", [33, 1000, 500000])
def test_very_deep(client, depth):
    broken_off(client, frame(b"\x94\x00\x07\xa6health" + b"\x91" * depth + b"\x00"), 7, "BAD_FRAME")


def counted(items):
    """A request of so many values: the message, its 4 members, 5 pairs of params, 1 of headers, a list."""
    return msgpack.packb([0, 7, "verify_response", {"profile": PROFILE, "method": "POST", "uri": PAY, "body": b"",
                                                    "headers": {"x": [0] * (items - 17)}}])


def test_items(client):
    refused(client, counted(4096), 7, "NO_ANTOM_KEY")
    broken_off(client, frame(counted(4097)), 7, "BAD_FRAME")


# ---- ids


IDS = {"0": b"\x00", "127": b"\x7f", "8 bits": b"\xcc\x05", "16 bits": b"\xcd\x00\x05",
       "32 bits": b"\xce\x00\x00\x00\x05", "64 bits": b"\xcf\0\0\0\0\0\0\0\x05", "signed 8": b"\xd0\x05",
       "signed 16": b"\xd1\x00\x05",
       "signed 32": b"\xd2\x00\x00\x00\x05", "signed 64": b"\xd3\0\0\0\0\0\0\0\x05", "largest": b"\xce\x7f\xff\xff\xff",
       "largest, 64 bits": b"\xcf\0\0\0\0\x7f\xff\xff\xff"}


@pytest.mark.parametrize("id_", IDS.values(), ids=IDS.keys())
def test_id(client, id_):
    for _ in range(2):  # free again once answered
        client.send_raw(frame(b"\x94\x00" + id_ + b"\xa6health\x80"))
        assert client.recv_message()[:3] == [1, msgpack.unpackb(id_), None]


NO_IDS = {"2^31": 2 ** 31, "2^32": 2 ** 32, "2^63": 2 ** 63, "2^64-1": 2 ** 64 - 1, "-1": -1, "-2^31": -2 ** 31,
          "nil": None, "text": "7", "bytes": b"7", "float": 7.0, "true": True, "list": [7], "map": {}}


@pytest.mark.parametrize("id_", NO_IDS.values(), ids=NO_IDS.keys())
def test_no_id(client, id_):
    broken_off(client, frame(msgpack.packb([0, id_, "health", {}])), None, "BAD_FRAME")


def test_id_in_flight(agent):
    """Its one answer is the refusal; the others in flight get none."""
    with connect(agent.agent_sock) as c, connect(agent.agent_sock) as beside:
        keeper = agent.pid_of("keeper", "soft")
        with held(keeper):
            sign = sign_params(PROFILE)
            c.send_raw(request(7, "sign_request", sign) + request(8, "sign_request", sign) + request(7, "health"))
            check_refusal(c.recv_message(), 7, "BAD_PARAM", "id")
            assert_closed(c)
            assert_open(beside)


def test_bad_frame_behind_work_in_flight(agent):
    """Taken before: answered. The bad one with an id in flight: nil. Behind it: nothing is read."""
    with connect(agent.agent_sock) as c:
        with held(agent.pid_of("keeper", "soft")):
            signs = b"".join(request(i, "sign_request", sign_params(PROFILE)) for i in range(5))
            c.send_raw(signs + frame(b"\x93\x00\x03\xa6health") + request(9, "health"))
            check_refusal(c.recv_message(), None, "BAD_FRAME")
        got = by_id(answers_until_end(c))
        assert set(got) == set(range(5)) and all(error is None for error, _ in got.values())


@pytest.mark.parametrize("stop", [True, False], ids=["held", "running"])
def test_half_close_with_work_in_flight(agent, stop):
    count = 100
    with connect(agent.agent_sock) as c:
        def send():
            c.send_raw(b"".join(request(i, "sign_request", sign_params(PROFILE)) for i in range(count)))
            c.sock.shutdown(socket.SHUT_WR)
        if stop:
            with held(agent.pid_of("keeper", "soft")):
                send()
        else:
            send()
        got = by_id(answers_until_end(c))
        assert set(got) == set(range(count)) and all(error is None for error, _ in got.values())


def test_answers_out_of_order(agent, client):
    """What needs no keeper is not held up behind what does."""
    with held(agent.pid_of("keeper", "soft")):
        slow = [client.send("sign_request", **sign_params(PROFILE, body=b"%d" % i)) for i in range(20)]
        for _ in range(20):
            assert client.call("health")["state"] == "ready"
    bodies = {i: client.collect(i)["headers"]["Request-Time"] for i in reversed(slow)}
    assert len(bodies) == 20


def test_many_small_frames_in_one_write(client):
    count = 20000
    stream = b"".join(request(i, "health") for i in range(count))
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    done = 0
    while stream or done < count:  # reads while it writes, as a client must
        if stream:
            try:
                stream = stream[client.sock.send(stream, socket.MSG_DONTWAIT):]
                continue
            except BlockingIOError:
                pass
        assert client.recv_message()[:3] == [1, done, None]
        done += 1


@pytest.mark.parametrize("ahead", range(0, 64, 8))
def test_answers_read_in_one_gulp(agent, client, ahead):
    """The agent stops reading while its answers are not read. When they are then all taken before it looks
    again, it goes on, wherever the border lies between what the kernel took of a write and what not."""
    count, base = 20000, 1 << 16  # all ids, and so all answers, of one length
    client.send_raw(request(base - 1 + count, "health"))
    size = len(client.sock.recv(1 << 16))
    before = ahead * 1024 // size
    client.send_raw(b"".join(request(base + i, "health") for i in range(before)))
    while before and len(client.sock.recv(1 << 16, socket.MSG_PEEK)) < before * size:
        pass  # until all of these are written: then the sizes of the agent's writes that follow are shifted
    stream = b"".join(request(base + i, "health") for i in range(before, count))
    answers = bytearray()
    while stream and select.select([], [client.sock], [], 0.3)[1]:  # until neither side takes anything more
        stream = stream[client.sock.send(stream, socket.MSG_DONTWAIT):]
    with held(agent.pid_of("front")):
        while select.select([client.sock], [], [], 0)[0]:
            answers += client.sock.recv(1 << 20)
    while len(answers) < count * size:
        readable, writable, _ = select.select([client.sock], [client.sock] if stream else [], [], 10)
        assert readable or writable, f"after {len(answers) // size} answers none is given and nothing more is read"
        if writable:
            stream = stream[client.sock.send(stream, socket.MSG_DONTWAIT):]
        if readable:
            answers += client.sock.recv(1 << 20)
    for i in range(count):
        assert msgpack.unpackb(answers[i * size + 4:i * size + size])[:3] == [1, base + i, None]


# ---- garbage


def test_garbage(agent):
    """Random bytes and frames with bytes turned: an answer of the right form, or the end."""
    seed = int(os.environ.get("ANTAG_SEED", "0")) or random.randrange(2 ** 32)
    print("ANTAG_SEED", seed)
    dice = random.Random(seed)
    good = request(7, "sign_request", sign_params(PROFILE, trace="x", deadline_ms=60000))
    for _ in range(400):
        if dice.random() < 0.3:
            data = dice.randbytes(dice.randrange(1, 200))
            data = data if dice.random() < 0.5 else frame(data)
        else:
            data = bytearray(good)
            for _ in range(dice.randrange(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            data = bytes(data)
        with connect(agent.agent_sock) as c:
            c.send_raw(data)
            c.sock.shutdown(socket.SHUT_WR)
            for message in answers_until_end(c):
                shape, id_, error, result = message
                assert shape == 1 and (error is None) != (result is None), (data, message)
                if error is not None:
                    check_refusal(message, id_, error["name"], error.get("field"))


def test_tls_and_http(agent):
    """What other protocols begin with."""
    for hello in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512)):
        with connect(agent.agent_sock) as c:
            broken_off(c, hello, None, "FRAME_TOO_LARGE")


def test_restless_connections(agent):
    """Connect and close, with and without a word, hundreds of times; no descriptor stays behind."""
    front = agent.pid_of("front")
    deadline = time.monotonic() + 20 * SLOW
    before = len(os.listdir(f"/proc/{front}/fd"))
    for i in range(500):
        c = connect(agent.agent_sock)
        if i % 3:
            c.send_raw(request(1, "sign_request", sign_params(PROFILE))[:60 * (i % 3)])
        c.close()
    while len(os.listdir(f"/proc/{front}/fd")) > before + 2:
        assert time.monotonic() < deadline, "descriptors are left"
        time.sleep(0.01)
