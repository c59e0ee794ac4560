"""Signing and verifying through a real daemon, judged by an independent implementation: the judge builds
the string to sign from the fields of the case itself and never asks the agent what it signed."""
import base64
import os
import subprocess
import time
import urllib.parse

import pytest

import judge
from antom_client import AntomError, Client

SANDBOX_ID, LIVE_ID = "SANDBOX_5X00000000000001", "5Y00000000000001"
PAY = "/ams/api/v1/payments/pay"
SANDBOX_PAY = "/ams/sandbox/api/v1/payments/pay"
NOTIFY = "/notify/antom?shop=7"

BODIES = {
    "json": b'{"a":1}',
    "empty": b"",
    "crlf": b'{\r\n "a": 1\r\n}\r\n',
    "trailing line feed": b'{"a":1}\n',
    "utf-8": '{"n":"余额🙂"}\r\n'.encode(),
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "escapes": rb'{"u":"https:\/\/a.example\/\u00e9","k":"\u4f59"}',
    "nul bytes": b'{"a":"\x00\x00"}\x00',
    "not utf-8": bytes(range(256)),
    "dots and line feeds": b"...\n\n..\r\n.",
    "like a time": b"123Z.{}",
    "1 MiB": os.urandom(1024 * 1024),
}


@pytest.fixture(scope="module")
def setting(shared_agent, antom_key):
    """The agent with shop/sandbox and shop/live, their public keys, and a client."""
    a = shared_agent
    a.make_profile("shop", "sandbox", SANDBOX_ID, antom_key=judge.spki(antom_key))
    a.make_profile("shop", "live", LIVE_ID)
    a.ctl("antom-key", "add", "shop/live", "--same-as-other-environment", input=judge.spki(antom_key))
    public = {p: judge.load_public(a.ctl("key", "export", p)["public_key"])
              for p in ("shop/sandbox", "shop/live")}
    with Client(a.agent_sock) as client:
        yield a, public, client


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("profile, client_id, uri, sent", [
    ("shop/sandbox", SANDBOX_ID, PAY, SANDBOX_PAY),
    ("shop/sandbox", SANDBOX_ID, SANDBOX_PAY, SANDBOX_PAY),
    ("shop/live", LIVE_ID, PAY, PAY),
    ("shop/live", LIVE_ID, "/ams/api/v1/payments/inquiryPayment?a=%2F&b=+", None),
])
def test_signature_is_antoms(setting, profile, client_id, uri, sent, body):
    _, public, client = setting
    before = time.time() * 1000
    got = client.call("sign_request", profile=profile, method="POST", uri=uri, body=body)
    sent = sent or uri
    assert got["uri"] == sent
    assert got["url"] == "https://open-sea-global.alipay.com" + sent
    assert got["version"] == 1 and got["key_version"] == 1
    assert set(got["headers"]) == {"Client-Id", "Request-Time", "Signature", "Content-Type"}
    assert got["headers"]["Content-Type"] == "application/json; charset=UTF-8"
    assert abs(int(got["headers"]["Request-Time"]) - before) < 60000
    assert len(got["headers"]["Request-Time"]) == 13
    assert judge.judge_request(public[profile], "POST", sent, client_id, got["headers"], body) == 1


def test_openssl_agrees(setting, tmp_path):
    """The same judgement by the openssl tool, from the exported PEM alone."""
    a, _, client = setting
    body = b'{"judge":"openssl"}'
    got = client.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=body)
    (tmp_path / "public.pem").write_text(a.ctl("key", "export", "shop/sandbox", "--pem")["public_key"])
    raw, _ = judge.signature_of_header(got["headers"]["Signature"])
    (tmp_path / "signature").write_bytes(raw)
    text = judge.string_to_sign("POST", SANDBOX_PAY, SANDBOX_ID, got["headers"]["Request-Time"], body)
    (tmp_path / "string").write_bytes(text)
    done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature",
                           "string"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "Verified OK"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("kind", ["response", "notification"])
def test_verify_every_body(setting, antom_key, kind, body):
    _, _, client = setting
    uri = PAY if kind == "response" else NOTIFY
    signed_uri = SANDBOX_PAY if kind == "response" else NOTIFY
    headers = judge.response(antom_key, signed_uri, SANDBOX_ID, body, kind=kind)
    got = client.call(f"verify_{kind}", profile="shop/sandbox", method="POST", uri=uri, headers=headers, body=body)
    assert got["version"] == 1
    assert got["time"] in headers.values()
    assert -5000 < got["age_ms"] < 60000
    turned = body[:-1] + bytes([body[-1] ^ 1]) if body else b"\n"
    for altered in (turned, body[:-1] if body else b"x", body[1:] + b" " if body else b" "):
        with pytest.raises(AntomError) as error:
            client.call(f"verify_{kind}", profile="shop/sandbox", method="POST", uri=uri, headers=headers,
                        body=altered)
        assert error.value.name == "SIGNATURE_INVALID"


# ---- the Signature header: everything an SDK or the documentation writes, and nothing else


def forms(raw):
    """name -> (header text, verdict)"""
    b64 = base64.b64encode(raw).decode()
    up = urllib.parse.quote(b64, safe="")
    low = up.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d")
    ok, form, bad = None, "SIGNATURE_FORM", "SIGNATURE_INVALID"
    assert "+" in b64 and "/" in b64
    return {
        "sdk": (f"algorithm=RSA256,keyVersion=1,signature={up}", ok),
        "documentation": (f"algorithm=RSA256, keyVersion=1, signature={up}", ok),
        "lower-case escapes, as .NET": (f"algorithm=RSA256,keyVersion=1,signature={low}", ok),
        "not encoded": (f"algorithm=RSA256,keyVersion=1,signature={b64}", ok),
        "half encoded": (f"algorithm=RSA256,keyVersion=1,signature={b64.replace('/', '%2F')}", ok),
        "other order": (f"signature={up},keyVersion=1,algorithm=RSA256", ok),
        "signature alone": (f"signature={up}", ok),
        "no key version": (f"algorithm=RSA256,signature={up}", ok),
        "key version 7": (f"algorithm=RSA256,keyVersion=7,signature={up}", ok),
        "names in other case": (f"Algorithm=rsa256,KEYVERSION=1,SIGNATURE={up}", ok),
        "spaces and tabs": (f" algorithm = RSA256 ,\tkeyVersion = 1 , signature = {up} ", ok),
        "unknown name": (f"algorithm=RSA256,keyVersion=1,x=y,signature={up}", ok),
        "other algorithm": (f"algorithm=RSA512,keyVersion=1,signature={up}", form),
        "algorithm none": (f"algorithm=none,keyVersion=1,signature={up}", form),
        "signature twice": (f"signature={up},signature={up}", form),
        "algorithm twice": (f"algorithm=RSA256,algorithm=RSA256,signature={up}", form),
        "no signature": ("algorithm=RSA256,keyVersion=1", form),
        "empty signature": ("algorithm=RSA256,keyVersion=1,signature=", form),
        "xsignature": (f"algorithm=RSA256,keyVersion=1,xsignature={up}", form),
        "part without =": (f"algorithm=RSA256,keyVersion,signature={up}", form),
        "bare value": (up, form),
        "trailing comma": (f"algorithm=RSA256,keyVersion=1,signature={up},", form),
        "encoded twice": (f"algorithm=RSA256,keyVersion=1,signature={urllib.parse.quote(up)}", form),
        "cut escape": (f"algorithm=RSA256,keyVersion=1,signature={up[:-1]}", form),
        "escape not hex": (f"algorithm=RSA256,keyVersion=1,signature={up.replace('%2B', '%2G')}", form),
        "plus became a space": (f"algorithm=RSA256,keyVersion=1,signature={b64.replace('+', ' ')}", form),
        "base64url": (f"signature={b64.replace('+', '-').replace('/', '_')}", form),
        "no padding": (f"signature={b64.rstrip('=')}", form),
        "quoted": (f'signature="{up}"', form),
        "line break": (f"signature={b64[:76]}\n{b64[76:]}", form),
        "too long": (f"signature={up}," + "x=" + "y" * 8100, form),
        "one byte short": (judge.header(raw[:-1]), bad),
        "one byte long": (judge.header(raw + b"\0"), bad),
        "all zero": (judge.header(bytes(256)), bad),
        "a bit turned": (judge.header(raw[:9] + bytes([raw[9] ^ 4]) + raw[10:]), bad),
    }


def raw_with_both(key, body_of):
    """A signature whose base64 has '+' and '/': the time varies until it does."""
    for i in range(1000):
        at = judge.now_iso(-i % 60)
        body = body_of + str(i).encode()
        raw = judge.sign(key, "POST", SANDBOX_PAY, SANDBOX_ID, at, body)
        text = base64.b64encode(raw).decode()
        if "+" in text and "/" in text:
            return raw, at, body
    raise AssertionError("no such signature in 1000")


FORM_NAMES = list(forms(b"\xfb\xff\xbf" + bytes(253)))


@pytest.fixture(scope="module")
def signed(antom_key):
    return raw_with_both(antom_key, b"body")


@pytest.mark.parametrize("name", FORM_NAMES)
def test_signature_header(setting, signed, name):
    _, _, client = setting
    raw, at, body = signed
    header, verdict = forms(raw)[name]
    headers = {"Client-Id": SANDBOX_ID, "Response-Time": at, "Signature": header}

    def call():
        return client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=headers,
                           body=body)
    if verdict is None:
        assert call()["version"] == 1
        return
    with pytest.raises(AntomError) as error:
        call()
    assert error.value.name == verdict and error.value.class_ == "verify"


# ---- what else a message can be


def changed(headers, **to):
    """headers with some replaced (name with _ for -), or left out (None)."""
    out = dict(headers)
    for name, value in to.items():
        out.pop(name.replace("_", "-"), None)
        if value is not None:
            out[name.replace("_", "-")] = value
    return out


VERDICTS = [
    ("no headers", lambda h: {}, "UNSIGNED"),
    ("other headers only", lambda h: {"Content-Type": "application/json"}, "UNSIGNED"),
    ("client id alone", lambda h: {"client-id": SANDBOX_ID}, "UNSIGNED"),
    ("empty signature and time", lambda h: changed(h, signature="", response_time=""), "UNSIGNED"),
    ("no signature", lambda h: changed(h, signature=None), "HALF_SIGNED"),
    ("empty signature", lambda h: changed(h, signature=""), "HALF_SIGNED"),
    ("no time", lambda h: changed(h, response_time=None), "HALF_SIGNED"),
    ("no client id", lambda h: changed(h, client_id=None), "HALF_SIGNED"),
    ("bad signature and bad time", lambda h: changed(h, signature="x", response_time="x"), "SIGNATURE_FORM"),
    ("bad time", lambda h: changed(h, response_time="yesterday"), "TIME_FORM"),
    ("time with a space", lambda h: changed(h, response_time=" 1700000000000"), "TIME_FORM"),
    ("bad time and wrong client", lambda h: changed(h, response_time="x", client_id="SANDBOX_x"), "TIME_FORM"),
    ("wrong client id", lambda h: changed(h, client_id="SANDBOX_5X00000000000002"), "WRONG_CLIENT_ID"),
    ("client id in other case", lambda h: changed(h, client_id=SANDBOX_ID.lower()), "WRONG_CLIENT_ID"),
    ("other time", lambda h: changed(h, response_time=judge.now_iso(-7)), "SIGNATURE_INVALID"),
    ("header twice", lambda h: changed(h, signature=[h["signature"], h["signature"]]), "BAD_PARAM"),
    ("header twice, other case", lambda h: {**h, "SIGNATURE": h["signature"]}, "BAD_PARAM"),
    ("header is a number", lambda h: changed(h, signature=7), "BAD_PARAM"),
]


@pytest.mark.parametrize("change, verdict", [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
def test_first_match_wins(setting, antom_key, change, verdict):
    _, _, client = setting
    headers = change(judge.response(antom_key, SANDBOX_PAY, SANDBOX_ID, b"{}"))
    with pytest.raises(AntomError) as error:
        client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=headers, body=b"{}")
    assert error.value.name == verdict


@pytest.mark.parametrize("headers", [
    lambda h: {k.upper(): v for k, v in h.items()},
    lambda h: {k.title(): [v] for k, v in h.items()},
    lambda h: {k.encode(): v.encode() for k, v in h.items()},
    lambda h: {**h, "Set-Cookie": ["a", "b"], "Date": "x"},
], ids=["upper case", "lists of one", "bytes", "with others"])
def test_headers_as_libraries_give_them(setting, antom_key, headers):
    _, _, client = setting
    given = headers(judge.response(antom_key, SANDBOX_PAY, SANDBOX_ID, b"{}"))
    assert client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=given,
                       body=b"{}")["version"] == 1


def iso(age_s, form):
    at = time.time() - age_s
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return {"Z": text + "Z", "+hh:mm": text + "+00:00", "+hhmm": text + "+0000", ".7": text + ".1234567Z",
            "s": str(int(at)), "ms": str(int(at * 1e3)), "us": str(int(at * 1e6)), "ns": str(int(at * 1e6) * 1000),
            "-02:30": time.strftime("%Y-%m-%dT%H:%M:%S-02:30", time.gmtime(at - 9000))}[form]


@pytest.mark.parametrize("form", ["Z", "+hh:mm", "+hhmm", ".7", "s", "ms", "us", "ns", "-02:30"])
@pytest.mark.parametrize("kind, age_s, max_age_ms, verdict", [
    ("response", 0, None, None),
    ("response", 14 * 60, None, None),
    ("response", 16 * 60, None, "TOO_OLD"),
    ("response", 16 * 60, 0, None),
    ("response", 30, 10000, "TOO_OLD"),
    ("response", -240, None, None),
    ("response", -400, None, "IN_THE_FUTURE"),
    ("response", -400, 0, "IN_THE_FUTURE"),
    ("notification", 24 * 3600, None, None),
    ("notification", 26 * 3600, None, "TOO_OLD"),
])
def test_age(setting, antom_key, form, kind, age_s, max_age_ms, verdict):
    _, _, client = setting
    uri = PAY if kind == "response" else NOTIFY
    signed_uri = SANDBOX_PAY if kind == "response" else NOTIFY
    headers = judge.response(antom_key, signed_uri, SANDBOX_ID, b"{}", time=iso(age_s, form), kind=kind)
    params = {} if max_age_ms is None else {"max_age_ms": max_age_ms}
    try:
        got = client.call(f"verify_{kind}", profile="shop/sandbox", method="POST", uri=uri, headers=headers,
                          body=b"{}", **params)
        assert verdict is None
        assert abs(got["age_ms"] - age_s * 1000) < 30000
    except AntomError as error:
        assert error.name == verdict


def test_the_signature_comes_before_the_age(setting, antom_key):
    _, _, client = setting
    headers = judge.response(antom_key, SANDBOX_PAY, SANDBOX_ID, b"{}", time=iso(7200, "Z"))
    with pytest.raises(AntomError) as error:
        client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=headers, body=b"!")
    assert error.value.name == "SIGNATURE_INVALID"


def test_our_own_key_verifies_nothing(setting):
    """Own public key where Antom's belongs is the most reported mistake: what we sign is no answer."""
    _, _, client = setting
    ours = client.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b"{}")["headers"]
    headers = {"client-id": ours["Client-Id"], "response-time": ours["Request-Time"], "signature": ours["Signature"]}
    with pytest.raises(AntomError) as error:
        client.call("verify_response", profile="shop/sandbox", method="POST", uri=PAY, headers=headers, body=b"{}")
    assert error.value.name == "SIGNATURE_INVALID"


# ---- shifted borders: the same bytes under the hash, cut elsewhere

SHIFTED = [
    ("uri takes a line feed", "sign_request", dict(uri=PAY + "\n5Y.1.x")),
    ("uri takes a space", "sign_request", dict(uri=PAY + " x")),
    ("uri takes a fragment", "sign_request", dict(uri=PAY + "#x")),
    ("uri is not ASCII", "sign_request", dict(uri="/ams/api/é")),
    ("uri with a host", "sign_request", dict(uri="https://open-sea-global.alipay.com" + PAY)),
    ("empty uri", "sign_request", dict(uri="")),
    ("uri over 2048", "sign_request", dict(uri=PAY + "/" + "x" * 2048)),
    ("method in lower case", "sign_request", dict(method="post")),
    ("method with a space", "sign_request", dict(method="POST /x")),
    ("empty method", "sign_request", dict(method="")),
    ("time with part of the body", "sign_request", dict(time="1700000000000.{")),
    ("time of 12 digits", "sign_request", dict(time="170000000000")),
    ("dot segment", "sign_request", dict(uri="/ams/api/v1/../v2/pay")),
    ("escaped dot segment", "sign_request", dict(uri="/ams/api/v1/%2e%2e/pay")),
    ("escaped slash", "sign_request", dict(uri="/ams/api/v1%2Fpay")),
    ("escaped letter", "sign_request", dict(uri="/ams/api/v1/%70ay")),
    ("semicolon", "sign_request", dict(uri="/ams/api/v1/pay;x=1")),
    ("double slash", "sign_request", dict(uri="/ams/api/v1//pay")),
    ("body over 1 MiB", "sign_request", dict(body=b"x" * (1024 * 1024 + 1))),
    ("response: uri with a line feed", "verify_response", dict(uri=PAY + "\nx", headers={})),
    ("notification: no slash", "verify_notification", dict(uri="notify", headers={})),
]


@pytest.mark.parametrize("method, params", [row[1:] for row in SHIFTED], ids=[row[0] for row in SHIFTED])
def test_strict_forms(setting, method, params):
    _, _, client = setting
    given = dict(profile="shop/sandbox", method="POST", uri=PAY, body=b"{}")
    given.update(params)
    with pytest.raises(AntomError) as error:
        client.call(method, **given)
    assert error.value.name == "BAD_PARAM"
    assert error.value.field in params or error.value.field in ("uri", "method", "time", "body")


def test_antoms_own_double_slash_is_signed(setting):
    _, public, client = setting
    uri = "/ams/api//v1/payments/retrievePaymentSession"
    got = client.call("sign_request", profile="shop/live", method="POST", uri=uri, body=b"{}")
    judge.judge_request(public["shop/live"], "POST", uri, LIVE_ID, got["headers"], b"{}")


# ---- the fence and time


@pytest.mark.parametrize("profile, uri, name", [
    ("shop/live", SANDBOX_PAY, "WRONG_ENVIRONMENT"),
    ("shop/live", "/ams//sandbox/api/v1/payments/pay", "BAD_PARAM"),
    ("shop/sandbox", "/ams/v1/aba/funds/createExchange", "WRONG_ENVIRONMENT"),
    ("shop/sandbox", "/other/v1", "WRONG_ENVIRONMENT"),
    ("shop/live", "/ams/api/v1/meter/uploadEvent", "NOT_SIGNED_CALL"),
    ("shop/sandbox", "/ams/api/v1/meter/uploadEvent", "NOT_SIGNED_CALL"),
])
def test_fence(setting, profile, uri, name):
    _, _, client = setting
    with pytest.raises(AntomError) as error:
        client.call("sign_request", profile=profile, method="POST", uri=uri, body=b"{}")
    assert error.value.name in (name, "WRONG_ENVIRONMENT") if name == "BAD_PARAM" else error.value.name == name


def test_fence_exception(setting):
    a, public, client = setting
    uri = "/ams/v1/aba/funds/createExchange"
    fence = a.ctl("fence", "add", "shop/sandbox", "--path", uri)
    got = client.call("sign_request", profile="shop/sandbox", method="POST", uri=uri, body=b"{}")
    judge.judge_request(public["shop/sandbox"], "POST", uri, SANDBOX_ID, got["headers"], b"{}")
    a.ctl("fence", "remove", fence["fence"])
    with pytest.raises(AntomError) as error:
        client.call("sign_request", profile="shop/sandbox", method="POST", uri=uri, body=b"{}")
    assert error.value.name == "WRONG_ENVIRONMENT"


@pytest.mark.parametrize("form", ["Z", "+hh:mm", "ms", "ns", "-02:30"])
def test_own_time_is_used_unchanged(setting, form):
    _, public, client = setting
    at = iso(100, form)
    got = client.call("sign_request", profile="shop/live", method="POST", uri=PAY, body=b"{}", time=at)
    assert got["headers"]["Request-Time"] == at
    judge.judge_request(public["shop/live"], "POST", PAY, LIVE_ID, got["headers"], b"{}")


@pytest.mark.parametrize("age_s", [400, -400])
def test_own_time_too_far_from_the_clock(setting, age_s):
    _, _, client = setting
    with pytest.raises(AntomError) as error:
        client.call("sign_request", profile="shop/live", method="POST", uri=PAY, body=b"{}", time=iso(age_s, "ms"))
    assert error.value.name == "TIME_SKEW" and "300000" in error.value.message


def test_leading_zero_bytes_are_kept(setting):
    """A signature that starts with a zero byte still has the length of the modulus: one in 256."""
    _, public, client = setting
    seen = False
    for _ in range(40):
        ids = [client.send("sign_request", profile="shop/live", method="POST", uri=PAY, body=os.urandom(8))
               for _ in range(64)]
        for i in ids:
            raw, _ = judge.signature_of_header(client.collect(i)["headers"]["Signature"])
            assert len(raw) == 256
            seen = seen or raw[0] == 0
        if seen:
            return
    raise AssertionError("none of 2560 signatures began with zero")
