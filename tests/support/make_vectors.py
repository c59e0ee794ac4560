#!/usr/bin/python3
"""Writes proto/vectors/*.json. Run in the top folder; shares no code with the agent."""
import json
import pathlib
import struct

import msgpack

FOLDER = pathlib.Path("proto/vectors")
FRAME_MAX = 1114112


def frame(value):
    return struct.pack(">I", len(value)) + value


def plain(value):
    """A Python value as JSON has it; bytes become {"$bin": HEX}."""
    if isinstance(value, bytes):
        return {"$bin": value.hex()}
    if isinstance(value, dict):
        return {k.decode() if isinstance(k, bytes) else k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def good(name, message, value=None, **more):
    """`value`: the bytes, where msgpack would choose others for `message`."""
    data = frame(msgpack.packb(message) if value is None else value)
    return {"name": name, "hex": data.hex(), "message": plain(message), **more}


def bad(name, value, error, id_, closes, field=None, raw=False):
    if not isinstance(value, bytes):
        value = msgpack.packb(value)
    case = {"name": name, "hex": (value if raw else frame(value)).hex(), "error": error, "id": id_,
            "closes": closes}
    return case if field is None else {**case, "field": field}


SIGN = {"profile": "shop/sandbox", "method": "POST", "uri": "/ams/sandbox/api/v1/payments/pay",
        "body": b'{"a":1}'}
VERIFY = {"profile": "shop/live", "method": "POST", "uri": "/ams/api/v1/payments/pay",
          "headers": {"client-id": "5Y00000000000001", "response-time": "2023-11-14T22:13:20+08:00",
                      "signature": "algorithm=RSA256,keyVersion=1,signature=AA%3D%3D"},
          "body": b'{"result":{"resultStatus":"S"}}'}
HEALTH = b"\xa6health"


def requests():
    as_str = {**SIGN, "body": '{"a":1}'}
    yield good("health", [0, 1, "health", {}])
    yield good("health, params nil", [0, 1, "health", None])
    yield good("health, params an empty array", [0, 1, "health", {}], b"\x94\x00\x01" + HEALTH + b"\x90")
    yield good("hello", [0, 0, "hello", {"versions": [1, 2], "client": "example 1.0"}])
    yield good("hello without params", [0, 0, "hello", {}])
    yield good("sign", [0, 2, "sign_request", SIGN])
    yield good("sign, empty body", [0, 3, "sign_request", {**SIGN, "body": b""}])
    yield good("sign, body with NUL and no UTF-8", [0, 3, "sign_request", {**SIGN, "body": b"\x00\xff\r\n"}])
    yield good("sign, every option", [0, 4, "sign_request", {
        **SIGN, "time": "1700000000000", "merchant": "m1", "trace": "order 7", "deadline_ms": 2000}])
    yield good("sign, options nil", [0, 4, "sign_request", {
        **SIGN, "time": None, "merchant": None, "trace": None, "deadline_ms": None}])
    yield good("sign, all str", [0, 5, "sign_request", as_str])
    yield good("sign, all str in the form before bin and str8", [0, 5, "sign_request", as_str],
               msgpack.packb([0, 5, "sign_request", as_str], use_bin_type=False))
    yield good("sign, all bin", [0, 5, "sign_request", SIGN], msgpack.packb(
        [0, 5, b"sign_request", {k.encode(): v if isinstance(v, bytes) else v.encode()
                                 for k, v in SIGN.items()}]))
    yield good("verify", [0, 6, "verify_response", VERIFY])
    yield good("verify, header names of any case, values as lists", [0, 6, "verify_notification", {
        **VERIFY, "max_age_ms": 0, "headers": {"Client-Id": ["5Y00000000000001"], "SIGNATURE": ["x"],
                                               "Request-Time": [b"1700000000000"], "Via": ["a", "b"]}}])
    yield good("verify, no headers", [0, 6, "verify_response", {**VERIFY, "headers": {}}])
    yield good("verify, headers nil", [0, 6, "verify_response", {**VERIFY, "headers": None}])
    yield good("as deep as it may be, in a header that is not read", [0, 6, "verify_response", {
        **VERIFY, "headers": {"x": [[[[[None]]]]]}}])
    yield good("largest id", [0, 2147483647, "health", {}])
    yield good("id in 8 bytes", [0, 1, "health", {}],
               b"\x94\x00\xcf\x00\x00\x00\x00\x00\x00\x00\x01" + HEALTH + b"\x80")
    yield good("id as a signed integer", [0, 1, "health", {}], b"\x94\x00\xd0\x01" + HEALTH + b"\x80")
    yield good("widest heads", [0, 1, "health", {}],
               b"\xdd\x00\x00\x00\x04\xcd\x00\x00\x01\xdb\x00\x00\x00\x06health\xdf\x00\x00\x00\x00")


def answers():
    def error(code, name, class_, message, **more):
        return {"code": code, "name": name, "class": class_, "message": message, **more}

    def failed(name, err, id_=2, class_=None):
        return good(name, [1, id_, err, None], **{"class": class_ or err["class"]})

    yield good("health", [1, 1, None, {"state": "ready", "profiles": [
        {"profile": "shop/sandbox", "sign": "ready", "verify": "NO_ANTOM_KEY",
         "verify_why": "shop/sandbox has no Antom key"}]}])
    yield good("hello", [1, 0, None, {
        "version": 1, "agent": "0.1.0", "state": "ready",
        "limits": {"frame": FRAME_MAX, "body": 1048576, "depth": 8, "items": 4096, "uri": 2048, "trace": 128,
                   "client_id": 64, "merchant": 64, "requests_per_connection": 128,
                   "bytes_per_connection": 8388608, "first_frame_ms": 10000},
        "profiles": [{"profile": "shop/sandbox", "ops": ["sign", "verify"]}]}])
    yield good("sign", [1, 2, None, {
        "headers": {"Client-Id": "SANDBOX_5X00000000000001", "Request-Time": "1700000000000",
                    "Signature": "algorithm=RSA256,keyVersion=1,signature=AA%3D%3D",
                    "Content-Type": "application/json; charset=UTF-8"},
        "uri": "/ams/sandbox/api/v1/payments/pay",
        "url": "https://open-sea-global.alipay.com/ams/sandbox/api/v1/payments/pay",
        "version": 1, "key_version": 1, "record": "soft:4711"}])
    yield good("verify", [1, 6, None, {"version": 2, "time": "2023-11-14T22:13:20+08:00", "age_ms": -12}])
    yield good("a key of a later version", [1, 6, None, {"version": 2, "time": "1700000000000", "age_ms": 5,
                                                         "later": {"more": [1.5, True, b"\x00"]}}])
    yield good("heads of 16 bits", [1, 6, None, {"version": 1}],
               b"\xdc\x00\x04\x01\x06\xc0\xde\x00\x01\xa7version\x01")
    yield failed("denied", error(200, "DENIED", "denied", "not granted, or no such profile"))
    yield failed("with field", error(104, "BAD_PARAM", "caller", "profile is missing", field="profile"))
    yield failed("with a wait", error(500, "BUSY", "retry", "too much work is waiting", retry_after_ms=25))
    yield failed("id nil", error(100, "BAD_FRAME", "caller", "the value is cut off, at byte 3"), None)
    yield failed("unproven", error(400, "UNSIGNED", "verify", "the message carries no signature"))
    yield failed("unknown code, known class", error(599, "LATER", "retry", "something new"))
    yield failed("unknown code without class", {"code": 499, "message": "new"}, class_="verify")
    yield failed("code of an unknown hundred", {"code": 4711}, class_="internal")
    yield good("an event, to be skipped", [2, "later", {"more": 1}])


def refused():
    deep = b"\x94\x00\x01" + HEALTH + b"\x81\xa1a" + b"\x91" * 7 + b"\xc0"
    yield bad("length 0", b"", "BAD_FRAME", None, True)
    yield bad("length one over the limit", struct.pack(">I", FRAME_MAX + 1), "FRAME_TOO_LARGE", None, True, raw=True)
    yield bad("length 4294967295", b"\xff\xff\xff\xff", "FRAME_TOO_LARGE", None, True, raw=True)
    yield bad("HTTP", b"GET / HTTP/1.1\r\n\r\n", "FRAME_TOO_LARGE", None, True, raw=True)
    yield bad("nil", None, "BAD_FRAME", None, True)
    yield bad("the byte c1", b"\xc1", "BAD_FRAME", None, True)
    yield bad("array of 4294967295, 5 bytes", b"\xdd\xff\xff\xff\xff", "BAD_FRAME", None, True)
    yield bad("map of 4294967295, 5 bytes", b"\xdf\xff\xff\xff\xff", "BAD_FRAME", None, True)
    yield bad("cut off behind the id", b"\x94\x00\x05", "BAD_FRAME", 5, True)
    yield bad("cut off in the method", b"\x94\x00\x05\xa6hea", "BAD_FRAME", 5, True)
    yield bad("a byte behind the value", msgpack.packb([0, 5, "health", {}]) + b"\xc0", "BAD_FRAME", 5, True)
    yield bad("nested too deep", deep, "BAD_FRAME", 1, True)
    yield bad("too many values", [0, 1, "health", {"a": [None] * 4090}], "BAD_FRAME", 1, True)
    yield bad("extension type", [0, 1, "health", {"trace": msgpack.ExtType(1, b"x")}], "BAD_FRAME", 1, True)
    yield bad("negative id", [0, -1, "health", {}], "BAD_FRAME", None, True)
    yield bad("id over the limit", [0, 2147483648, "health", {}], "BAD_FRAME", None, True)
    yield bad("id a float", [0, 1.0, "health", {}], "BAD_FRAME", None, True)
    yield bad("id text", [0, "1", "health", {}], "BAD_FRAME", None, True)
    yield bad("id nil", [0, None, "health", {}], "BAD_FRAME", None, True)
    yield bad("three elements", [0, 1, "health"], "BAD_FRAME", 1, True)
    yield bad("five elements", [0, 1, "health", {}, None], "BAD_FRAME", 1, True)
    yield bad("shape 3", [3, 1, "health", {}], "BAD_FRAME", None, True)
    yield bad("method an integer", [0, 1, 7, {}], "BAD_FRAME", 1, True)
    yield bad("params text", [0, 1, "health", "x"], "BAD_FRAME", 1, True)
    yield bad("params a filled array", [0, 1, "health", [1]], "BAD_FRAME", 1, True)
    yield bad("unknown method", [0, 1, "sing_request", SIGN], "UNKNOWN_METHOD", 1, False)
    yield bad("empty method", [0, 1, "", {}], "UNKNOWN_METHOD", 1, False)

    def param(name, change, field, method="sign_request", base=SIGN, **more):
        return bad(name, [0, 9, method, {**base, **change}], "BAD_PARAM", 9, False, field, **more)

    yield param("unknown key", {"bdy": b"x"}, "bdy")
    yield bad("key missing", [0, 9, "sign_request", {k: v for k, v in SIGN.items() if k != "body"}],
              "BAD_PARAM", 9, False, "body")
    yield param("body nil", {"body": None}, "body")
    yield param("body an integer", {"body": 1}, "body")
    yield param("body a map", {"body": {}}, "body")
    yield param("profile empty", {"profile": ""}, "profile")
    yield param("profile of 41 bytes", {"profile": "p" * 41}, "profile")
    yield param("method of 17 bytes", {"method": "M" * 17}, "method")
    yield param("uri of 2049 bytes", {"uri": "/" + "u" * 2048}, "uri")
    yield param("uri with NUL", {"uri": "/a\0b"}, "uri")
    yield param("uri not UTF-8", {"uri": b"/\xff"}, "uri")
    yield param("time an integer", {"time": 1700000000000}, "time")
    yield param("time of 41 bytes", {"time": "1" * 41}, "time")
    yield param("merchant of 65 bytes", {"merchant": "m" * 65}, "merchant")
    yield param("trace of 129 bytes", {"trace": "t" * 129}, "trace")
    yield param("deadline_ms 0", {"deadline_ms": 0}, "deadline_ms")
    yield param("deadline_ms negative", {"deadline_ms": -1}, "deadline_ms")
    yield param("deadline_ms a float", {"deadline_ms": 1.5}, "deadline_ms")
    yield param("headers a text", {"headers": "x"}, "headers", "verify_response", VERIFY)
    yield param("129 headers", {"headers": {f"h{i}": "" for i in range(129)}}, "headers", "verify_response", VERIFY)
    yield param("max_age_ms of verify in sign", {"max_age_ms": 0}, "max_age_ms")
    yield param("versions empty", {"versions": []}, "versions", "hello", {})
    yield bad("a key that is no text", [0, 9, "health", {1: 2}], "BAD_PARAM", 9, False)
    twice = b"\x94\x00\x09" + HEALTH + b"\x82\xa5trace\xa1a"
    yield bad("a key twice", twice + b"\xa5trace\xa1a", "BAD_PARAM", 9, True, "trace")
    yield bad("a key twice, str and bin", twice + b"\xc4\x05trace\xa1b", "BAD_PARAM", 9, True, "trace")
    yield bad("a key twice, nil first", b"\x94\x00\x09" + HEALTH + b"\x82\xa5trace\xc0\xa5trace\xa1a",
              "BAD_PARAM", 9, True, "trace")


def render(cases):
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    return f"[\n{lines}\n]\n"


FILES = {"requests.json": requests, "answers.json": answers, "refused.json": refused}

if __name__ == "__main__":
    for file_name, cases in FILES.items():
        (FOLDER / file_name).write_text(render(cases()))
