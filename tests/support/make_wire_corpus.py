#!/usr/bin/python3
"""Writes the seed inputs of the fuzz targets `check` and `message`. Run in the folder tests/."""
import pathlib

import msgpack

SIGN = {
    "profile": "shop/sandbox", "method": "POST", "uri": "/ams/sandbox/api/v1/payments/pay",
    "body": b'{"a":1}', "time": "1700000000000", "trace": "order-1", "deadline_ms": 5000,
}
VERIFY = {
    "profile": "shop/sandbox", "method": "POST", "uri": "/ams/sandbox/api/v1/payments/pay",
    "headers": {"client-id": "SANDBOX_5X00000000000001", "response-time": ["1700000000000"],
                "signature": "algorithm=RSA256,keyVersion=1,signature=AA%3D%3D"},
    "body": b"\x00\xff", "max_age_ms": 0,
}
ERROR = {"code": 500, "name": "BUSY", "class": "retry", "message": "too much", "field": "body",
         "retry_after_ms": 20}
pack = msgpack.packb
old = msgpack.Packer(use_bin_type=False).pack

MESSAGE = {
    "hello": pack([0, 0, "hello", {"versions": [1], "client": "fuzz 1"}]),
    "health_nil_params": pack([0, 1, "health", None]),
    "health_array_params": pack([0, 1, "health", []]),
    "sign": pack([0, 2147483647, "sign_request", SIGN]),
    "sign_all_str": old([0, 7, "sign_request", {**SIGN, "body": "{}"}]),
    "sign_all_bin": pack([0, 7, b"sign_request",
                          {k.encode(): v.encode() if isinstance(v, str) else v
                           for k, v in SIGN.items()}]),
    "verify": pack([0, 8, "verify_response", VERIFY]),
    "key_twice": b"\x94\x00\x09\xa4sign\x82\xa4body\xa0\xa4body\xa0",
    "unknown_key": pack([0, 9, "sign_request", {**SIGN, "bdy": 1}]),
    "wrong_types": pack([0, 9, "sign_request", {"profile": 1, "body": [], "time": -1.5}]),
    "negative_id": pack([0, -1, "health", {}]),
    "large_id": pack([0, 2147483648, "health", {}]),
    "text_id": pack([0, "1", "health", {}]),
    "three_elements": pack([0, 1, "health"]),
    "shape_3": pack([3, 1, "health", {}]),
    "answer": pack([1, 1, None, {"version": 1}]),
    "failure": pack([1, 1, ERROR, None]),
    "failure_nil_id": pack([1, None, ERROR, None]),
    "failure_unknown_code": pack([1, 1, {"code": 599, "class": "retry"}, None]),
    "failure_controls": pack([1, 1, {"code": 104, "message": "\x1b[2J\u202e" * 90}, None]),
    "failure_code_0": pack([1, 1, {"code": 0}, None]),
    "event": pack([2, "draining", {}]),
    "grant_add": pack([0, 3, "grant_add", {"profile": "shop/live", "uid": 1000, "ops": ["sign"],
                                           "paths": ["/ams/api/**"], "query": False}]),
    "key_show": pack([0, 4, "key_show", {"profile": "shop/live", "version": 1}]),
}
CHECK = {
    "empty": b"", "nil": b"\xc0", "c1": b"\xc1", "two_values": b"\xc0\xc0",
    "array32_lie": b"\xdd\xff\xff\xff\xff", "map32_lie": b"\xdf\xff\xff\xff\xff",
    "str32_lie": b"\xdb\xff\xff\xff\xff", "bin32_lie": b"\xc6\xff\xff\xff\xff",
    "depth_8": b"\x91" * 7 + b"\x90", "depth_9": b"\x91" * 8 + b"\x90",
    "items_4096": b"\xdc\x0f\xff" + b"\xc0" * 4095, "items_4097": b"\xdc\x10\x00" + b"\xc0" * 4096,
    "fixext1": b"\xd4\x01\x00", "ext8": b"\xc7\x01\x01\x00", "ext32": b"\xc9\x00\x00\x00\x01\x01\x00",
    "numbers": pack([0, 127, 128, 65535, 65536, 2**32, 2**64 - 1, -1, -32, -33, -129, -32769,
                     -2**31 - 1, -2**63, 1.5, True, False, None]),
    "sizes": pack(["a" * 31, "a" * 32, "a" * 255, "a" * 256, b"b" * 255, b"b" * 256]),
    "map_in_map": pack({"a": {"b": [1, {"c": b"d"}]}}), "map_without_value": b"\x81\xa1a",
    "cut_double": b"\xcb\x00\x00", "cut_uint64": b"\xcf\x00", "cut_head": b"\xda\x01",
}

for name, inputs in (("message", MESSAGE), ("check", CHECK)):
    folder = pathlib.Path("corpus") / name
    folder.mkdir(parents=True, exist_ok=True)
    for title, data in inputs.items():
        (folder / title).write_bytes(data)
