"""Methods and params on agent.sock: every form and bound of PROTOCOL.md, at the edge and beyond it. What is
wrong is refused by name, and the connection goes on."""
import time

import msgpack
import pytest

from wire import (PAY, SLOW, AntomError, Neighbour, assert_open, broken_off, by_id, check_refusal, connect, frame, held,
                  refused, running, sign_params)

BODY = 1048576
PROFILE = "shop/sandbox"
SIGN, VERIFY = "sign_request", "verify_response"


@pytest.fixture(scope="module")
def agent():
    with running() as a, Neighbour(a):
        yield a


@pytest.fixture
def client(agent):
    with connect(agent.agent_sock) as c:
        yield c


def packed(method, params, id_=7):
    return msgpack.packb([0, id_, method, params])


def taken(client, method, params):
    """The request was understood, whatever came of it."""
    try:
        return client.call(method, **params)
    except AntomError as error:
        assert error.class_ != "caller", error
        return None


# ---- methods


@pytest.mark.parametrize("name", ["", "sign", "Sign_request", "sign_request ", "sign_request\0", "status", "lock",
                                  "key_export", "a" * 1000000, "\u2603", b"\xff\xfe"],
                         ids=lambda n: repr(n[:12]))
def test_unknown_method(client, name):
    """Those of the staff socket are unknown here, too."""
    error = refused(client, packed(name, {"whatever": 1}), 7, "UNKNOWN_METHOD", "method")
    assert error["class"] == "caller"


@pytest.mark.parametrize("method", ["health", b"health"])
@pytest.mark.parametrize("params", [{}, None, [], {"trace": None}, {b"trace": b"x", "deadline_ms": 1000}],
                         ids=["map", "nil", "array", "nil value", "bytes"])
def test_forms_of_no_params(client, method, params):
    client.send_raw(frame(packed(method, params)))
    assert client.recv_message()[:3] == [1, 7, None]


def test_nil_counts_as_not_given(client):
    assert client.call(SIGN, **sign_params(PROFILE, time=None, merchant=None, trace=None, deadline_ms=None))["headers"]
    params = sign_params(PROFILE, uri=None)
    refused(client, packed(SIGN, params), 7, "BAD_PARAM", "uri")


def test_text_and_bytes_are_the_same(client):
    texts = sign_params(PROFILE, body='{"text":1}', trace="x")
    for params in (texts, {k.encode(): v.encode() if isinstance(v, str) else v for k, v in texts.items()}):
        client.send_raw(frame(packed(SIGN, params)))
        assert client.recv_message()[:3] == [1, 7, None]


def test_answers_use_text_for_text(client):
    client.send_raw(frame(packed(SIGN, {k.encode(): v for k, v in sign_params(PROFILE).items()})))
    size = int.from_bytes(client._read(4, time.monotonic() + 10 * SLOW), "big")
    raw = client._read(size, time.monotonic() + 10 * SLOW)
    result = msgpack.unpackb(raw, raw=False)[3]
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in result["headers"].items())
    assert isinstance(result["uri"], str) and isinstance(result["url"], str)


# ---- keys


@pytest.mark.parametrize("key, field", [
    ("tracE", "tracE"), ("max_age", "max_age"), ("", None), (b"trace ", "trace "), ("trace\0", r"trace\x00"),
    ("body2", "body2")])
def test_unknown_key(client, key, field):
    error = refused(client, packed("health", {key: 1}), 7, "BAD_PARAM", field)
    assert "trace" in error["message"]  # tells what there is


@pytest.mark.parametrize("key", ["k" * 100000, "\u4f59" * 500, b"\xff" * 200, "\x1b[2J\r\n"], ids=["long", "utf-8",
                                                                                                "no text", "control"])
def test_hostile_key(client, key):
    client.send_raw(frame(packed("health", {key: 1})))
    error = client.recv_message()[2]
    check_refusal([1, 7, error, None], 7, "BAD_PARAM", error.get("field"))
    assert error["field"].isprintable() and error["field"].isascii() and len(error["field"]) <= 63
    assert_open(client)


@pytest.mark.parametrize("key", [1, None, True, 1.5, ("a",)])
def test_key_is_no_text(client, key):
    refused(client, packed("health", {key: 1}), 7, "BAD_PARAM")


def twice(method, name, first, second):
    """A map with a key twice, which no library writes."""
    value = b"\x94\x00\x07" + msgpack.packb(method) + b"\x82"
    return value + msgpack.packb(name) + msgpack.packb(first) + msgpack.packb(name) + msgpack.packb(second)


@pytest.mark.parametrize("value", [
    twice("health", "trace", "a", "a"), twice("health", "trace", "a", "b"), twice("health", "trace", None, None),
    b"\x94\x00\x07\xa6health\x82\xa5trace\xa1a\xc4\x05trace\xa1b",
    twice(SIGN, "body", b"x", b"y"), twice("hello", "versions", [1], [1])],
    ids=["same", "other", "nil", "text and bytes", "body", "versions"])
def test_key_twice(client, value):
    name = next(n for n in ("trace", "body", "versions") if n.encode() in value)
    broken_off(client, frame(value), 7, "BAD_PARAM", name)


# ---- values: one table of what each param takes


V = dict(profile=PROFILE, method="POST", uri=PAY, headers={}, body=b"")
S = sign_params(PROFILE)
WRONG_TEXTS = [7, 1.5, True, [], {}, ["x"], b"\xff", "a\0b", "\ud800".encode("utf-8", "surrogatepass")]
WRONG_UINTS = [-1, 1.0, "1", True, [], {}, -2 ** 63, 2 ** 64 - 1]

BAD = [
    ("health", {}, "trace", [*WRONG_TEXTS, "t" * 129, "\u4f59" * 43]),
    ("health", {}, "deadline_ms", [*WRONG_UINTS, 0, 86400001]),
    ("hello", {}, "client", [*WRONG_TEXTS, "c" * 129]),
    ("hello", {}, "versions", [1, "1", {}, [], [1] * 17, ["1"], [1, "x"], [1.0], [-1], [None], [[1]], [True]]),
    (SIGN, S, "profile", [*WRONG_TEXTS, "", "p" * 41]),
    (SIGN, S, "method", [*WRONG_TEXTS, "", "post", "POST ", "PO\nST", "GET1", "P" * 17]),
    (SIGN, S, "uri", [*WRONG_TEXTS, "", "ams/api", "https://x/y", "/a b", "/a\n", "/a#b", "/\u4f59", "/" + "u" * 2048,
                      "/ams/api/../x", "/ams/api//v1/x", "/ams/api/%2e%2e/x", "/ams/api/v1;x"]),
    (SIGN, S, "body", [7, 1.5, True, [], {}, bytes(BODY + 1)]),
    (SIGN, S, "time", [*WRONG_TEXTS, "", "now", "1" * 41, "123456789", "2026-01-01"]),
    (SIGN, S, "merchant", [*WRONG_TEXTS, "", "m" * 65, "no body", "a*"]),
    (VERIFY, V, "profile", [*WRONG_TEXTS, "", "p" * 41]),
    (VERIFY, V, "method", ["", "post", 7]),
    (VERIFY, V, "uri", ["", "x", "/" + "u" * 2048, 7]),
    (VERIFY, V, "headers", [7, "x", [1], True, {"signature": 7}, {"Signature": "a", "signature": "a"},
                            {"signature": ["a", "b"]}, {"client-id": {}}, {"response-time": [7]},
                            {f"h{i}": "" for i in range(129)}]),
    (VERIFY, V, "body", [7, {}, bytes(BODY + 1)]),
    (VERIFY, V, "max_age_ms", [*WRONG_UINTS, 2592000001]),
]


@pytest.mark.parametrize("method, params, name, values", BAD, ids=[f"{m}-{n}" for m, _, n, _ in BAD])
def test_refused_values(client, method, params, name, values):
    for value in values:
        value = msgpack.packb([0, 7, method, {**params, name: value}], use_bin_type=True)
        refused(client, value, 7, "BAD_PARAM", name)


GOOD = [
    ("health", {}, "trace", ["", "t" * 128, "\u4f59" * 42, b"bytes", "tab\tand\nline"]),
    ("health", {}, "deadline_ms", [1, 86400000]),
    ("hello", {}, "client", ["", "c" * 128]),
    ("hello", {}, "versions", [[1], [1, 2, 3], [9, 1], [2 ** 64 - 1, 1], [1] * 16]),
    (SIGN, S, "profile", ["p" * 40, "shop/live", "no/such", "\u4f59"]),
    (SIGN, S, "method", ["P" * 16, "GET"]),
    (SIGN, S, "uri", ["/ams/api/" + "u" * 2039, "/ams/api/v1/x?a=%2F&b"]),
    (SIGN, S, "body", [b"", "", bytes(BODY), "\u4f59", b"\xff\x00"]),
    (SIGN, S, "deadline_ms", [86400000]),
    (VERIFY, V, "headers", [None, [], {}, {"x": 7, "y": {}, "z": [[]]}, {f"h{i}": "" for i in range(128)},
                            {"signature": None}, {"signature": []}, {b"SIGNATURE": [b""]}]),
    (VERIFY, V, "max_age_ms", [0, 2592000000]),
    (VERIFY, V, "body", [bytes(BODY)]),
]


@pytest.mark.parametrize("method, params, name, values", GOOD, ids=[f"{m}-{n}" for m, _, n, _ in GOOD])
def test_taken_values(client, method, params, name, values):
    for value in values:
        taken(client, method, {**params, name: value})


@pytest.mark.parametrize("method, name", [(SIGN, n) for n in ("profile", "method", "uri", "body")]
                         + [(VERIFY, n) for n in ("profile", "method", "uri", "body")])
def test_missing(client, method, name):
    params = {k: v for k, v in (S if method == SIGN else V).items() if k != name}
    refused(client, packed(method, params), 7, "BAD_PARAM", name)


# ---- hello


def test_hello_tells_all(client):
    got = client.call("hello", versions=[1], client="tests")
    assert got["version"] == 1 and got["state"] == "ready" and isinstance(got["agent"], str)
    assert got["profiles"] == [{"profile": PROFILE, "ops": ["sign", "verify"]}]
    assert got["limits"] == {
        "frame": 1114112, "body": 1048576, "depth": 8, "items": 4096, "uri": 2048, "trace": 128, "client_id": 64,
        "merchant": 64, "requests_per_connection": 128, "bytes_per_connection": 8388608, "first_frame_ms": 10000}


@pytest.mark.parametrize("versions", [[0], [2], [2, 3, 2 ** 63], [0, 2 ** 64 - 1]])
def test_no_version_in_common(client, versions):
    """The connection stays on version 1."""
    refused(client, packed("hello", {"versions": versions}), 7, "BAD_VERSION", "versions")
    assert client.call("hello")["version"] == 1


def test_hello_again_and_not_first(client):
    assert client.call(SIGN, **S)["headers"]
    assert client.call("hello") == client.call("hello")


# ---- deadlines


def test_deadline(agent, client):
    """Work that is waiting, and work that the keeper has begun, is answered when its time is over."""
    with held(agent.pid_of("keeper", "soft")):
        begun = time.monotonic()
        ids = [client.send(SIGN, **S, deadline_ms=100) for _ in range(64)]
        for i in ids:
            with pytest.raises(AntomError) as error:
                client.collect(i)
            assert (error.value.name, error.value.class_) == ("DEADLINE", "retry")
        assert 0.09 < time.monotonic() - begun < 5 * SLOW
        with pytest.raises(AntomError) as error:  # its id is free again
            client.send_raw(frame(packed(SIGN, {**S, "deadline_ms": 50}, ids[0])))
            client.waiting.add(ids[0])
            client.collect(ids[0])
        assert error.value.name == "DEADLINE"
    # what the keeper makes of the old ones reaches nobody
    got = by_id([[1, i, None, client.collect(i)] for i in [client.send(SIGN, **S) for _ in range(64)]])
    assert len(got) == 64


def test_deadline_that_holds(client):
    assert client.call(SIGN, **S, deadline_ms=60000)["headers"]
