"""explain: each mistake that people make is made here, with a real daemon, and must be named. The messages are
signed by a stand-in of Antom that shares no code with the agent."""
import hashlib
import json
import pathlib
import re
import urllib.parse

import pytest

import judge
from agent_fixture import Agent
from antom_client import AntomError, Client

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SANDBOX_ID, LIVE_ID = "SANDBOX_5X00000000000001", "5Y00000000000001"
PAY, SENT = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"
NOTIFY = "/notify/antom?shop=7"
BODY = b'{"paymentId":"2026","amount":{"value":"25"},"url":"https://a.example/x","name":"caf\\u00e9"}'
PRETTY = b'{\n  "a": "b, c: d",\n  "e": [1, 2]\n}'
STRANGER = 4711


@pytest.fixture(scope="module")
def keys():
    return {name: judge.new_key() for name in ("sandbox", "live", "revoked", "nobody")}


@pytest.fixture(scope="module")
def agent(keys):
    a = Agent()
    try:
        a.start()
        a.make_profile("shop", "sandbox", SANDBOX_ID, ops="sign,verify,explain")
        a.make_profile("shop", "live", LIVE_ID, ops="sign,verify,explain")
        a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(keys["revoked"]))
        a.ctl("antom-key", "revoke", "shop/sandbox", 1)
        a.ctl("antom-key", "add", "shop/sandbox", input=judge.spki(keys["sandbox"]))
        a.ctl("antom-key", "add", "shop/live", input=judge.spki(keys["live"]))
        a.ctl("grant", "add", "shop/sandbox", "--uid", STRANGER, "--ops", "sign,verify")
        yield a
    finally:
        a.remove()


@pytest.fixture
def client(agent):
    with Client(agent.agent_sock) as c:
        yield c


def explain(client, kind="response", profile="shop/sandbox", uri=PAY, method="POST", body=BODY, **more):
    return client.call_twice("explain", kind=kind, profile=profile, method=method, uri=uri, body=body, **more)


def causes(told):
    return [f["cause"] for f in told["findings"]]


def signed(keys, body=BODY, by="sandbox", uri=SENT, client_id=SANDBOX_ID, **more):
    return judge.response(keys[by], uri, client_id, body, **more)


def test_a_good_one_has_no_findings(client, keys):
    told = explain(client, headers=(headers := signed(keys)))
    assert (told["verdict"], told["code"], told["findings"]) == ("OK", 0, [])
    text = judge.string_to_sign("POST", SENT, SANDBOX_ID, headers["response-time"], BODY)
    assert told["string_head"].encode() + BODY == text and told["body_bytes"] == len(BODY)
    assert told["digest"] == hashlib.sha256(text).hexdigest()
    notice = judge.response(keys["sandbox"], NOTIFY, SANDBOX_ID, BODY, kind="notification")
    assert explain(client, kind="notification", uri=NOTIFY, headers=notice)["verdict"] == "OK"


def swap(headers, **more):
    return {**headers, **more}


def signature(headers, change):
    head, value = headers["signature"].split("signature=")
    return swap(headers, signature=f"{head}signature={change(value)}")


def needs_plus(make):
    """A message whose signature has a plus sign in it; one in 20 has none."""
    for n in range(50):
        headers = make(n)
        if "%2B" in headers["signature"]:
            return headers
    raise AssertionError("no signature has a plus sign")


LATIN = BODY.replace(b"\\u00e9", "é".encode())
MISTAKES = {
    "other_environment_key": lambda k: dict(headers=signed(k, by="live")),
    "the whole message of live": ("other_environment_key", lambda k: dict(headers=signed(k, by="live", uri=PAY))),
    "revoked_key": lambda k: dict(headers=signed(k, by="revoked")),
    "plus_as_space": lambda k: dict(headers=signature(needs_plus(
        lambda n: signed(k, time=judge.now_iso(-n))), lambda v: urllib.parse.unquote_plus(v.replace("%2B", "+")))),
    "encoded_twice": lambda k: dict(headers=signature(signed(k), urllib.parse.quote)),
    "client_id": lambda k: dict(headers=swap(signed(k), **{"client-id": LIVE_ID})),
    "time_of_other_header": lambda k: dict(headers=(lambda h: swap(
        h, **{"response-time": judge.now_iso(-1), "X-Signed-At": h["response-time"]}))(signed(k))),
    "query_missing": lambda k: dict(uri=PAY + "?a=b", headers=signed(k)),
    "uri_of_other_environment": lambda k: dict(headers=signed(k, uri=PAY)),
    "method": lambda k: dict(method="GET", headers=signed(k)),
    "newline_added": lambda k: dict(body=BODY + b"\n", headers=signed(k)),
    "CR LF added": ("newline_added", lambda k: dict(body=BODY + b"\r\n", headers=signed(k))),
    "newline_missing": lambda k: dict(body=BODY, headers=signed(k, BODY + b"\n")),
    "CR LF missing": ("newline_missing", lambda k: dict(body=BODY, headers=signed(k, BODY + b"\r\n"))),
    "lf_for_crlf": lambda k: dict(body=PRETTY, headers=signed(k, PRETTY.replace(b"\n", b"\r\n"))),
    "crlf_for_lf": lambda k: dict(body=PRETTY.replace(b"\n", b"\r\n"), headers=signed(k, PRETTY)),
    "body_serialised_again": lambda k: dict(body=PRETTY, headers=signed(k, b'{"a":"b, c: d","e":[1,2]}')),
    "as Python writes JSON": ("body_serialised_again", lambda k: dict(
        body=b'{"a":"b, c: d","e":[1,2]}', headers=signed(k, b'{"a": "b, c: d", "e": [1, 2]}'))),
    "as PHP writes JSON": ("body_serialised_again", lambda k: dict(
        body=BODY, headers=signed(k, BODY.replace(b"/", rb"\/")))),
    "PHP's slashes taken away": ("body_serialised_again", lambda k: dict(
        body=BODY.replace(b"/", rb"\/"), headers=signed(k, BODY))),
    "escapes decoded": ("body_serialised_again", lambda k: dict(body=LATIN, headers=signed(k, BODY))),
    "escapes made": ("body_serialised_again", lambda k: dict(body=BODY, headers=signed(k, LATIN))),
    "body_plus_as_space": lambda k: dict(body=b'{"phone":" 65 1"}', headers=signed(k, b'{"phone":"+65+1"}')),
    "unsigned_answer": lambda k: dict(headers={"content-type": "application/json"}),
    "header_missing": lambda k: dict(headers={n: v for n, v in signed(k).items() if n != "client-id"}),
    "unknown": lambda k: dict(body=BODY.replace(b"25", b"26"), headers=signed(k)),
    "a key of nobody": ("unknown", lambda k: dict(headers=signed(k, by="nobody"))),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_named(client, keys, mistake):
    made = MISTAKES[mistake]
    cause, make = made if isinstance(made, tuple) else (mistake, made)
    params = make(keys)
    with pytest.raises(AntomError) as refused:  # naming a cause makes nothing valid
        client.call("verify_response", **{**dict(profile="shop/sandbox", method="POST", uri=PAY, body=BODY), **params})
    told = explain(client, **params)
    assert told["verdict"] == refused.value.name and told["code"] == refused.value.code
    assert causes(told) == [cause], told
    assert all(f["message"] and f["remedy"] for f in told["findings"])


def test_which(client, keys):
    assert explain(client, headers=signed(keys, by="live"))["findings"][0]["which"] == "shop/live version 1"
    assert explain(client, headers=signed(keys, by="revoked"))["findings"][0]["which"] == "version 1"


def test_every_cause_has_a_test():
    names = re.findall(r"^    R\((\w+), *\"", (SOURCE / "agent/core/explain.h").read_text(), re.M)
    tested = {m[0] if isinstance(m, tuple) else name for name, m in MISTAKES.items()}
    # keys become staged with approvals; until then the unit test makes one
    assert set(names) - {"staged_key"} == tested
    table = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", (SOURCE / "proto/PROTOCOL.md").read_text(), re.M))
    assert set(names) <= set(table)


@pytest.mark.parametrize("kind", ["response", "notification"])
def test_too_old_is_genuine(client, keys, kind):
    uri = SENT if kind == "response" else NOTIFY
    headers = judge.response(keys["sandbox"], uri, SANDBOX_ID, BODY, time=judge.now_iso(-3 * 86400), kind=kind)
    told = explain(client, kind=kind, uri=PAY if kind == "response" else NOTIFY, headers=headers)
    assert told["verdict"] == "TOO_OLD" and told["findings"] == [] and told["string_head"]


def test_sign(client, agent):
    told = explain(client, kind="sign", time="1795757743550")  # far from the clock
    assert told["verdict"] == "TIME_SKEW"
    told = explain(client, kind="sign")
    got = client.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=BODY)
    assert told["verdict"] == "OK" and told["findings"] == []
    head = f"POST {SENT}\n{SANDBOX_ID}."
    assert told["string_head"].startswith(head) and told["string_head"].endswith(".")
    assert hashlib.sha256(told["string_head"].encode() + BODY).hexdigest() == told["digest"]
    assert got["uri"] == SENT
    assert explain(client, kind="sign", uri="/ams/sandbox/api/v1/payments/pay", profile="shop/live")["verdict"] == \
        "WRONG_ENVIRONMENT"
    before = len(agent.ctl("audit", "show", "soft", "--type", "sign", "--last", 1000)["lines"])
    explain(client, kind="sign")
    assert len(agent.ctl("audit", "show", "soft", "--type", "sign", "--last", 1000)["lines"]) == before


def test_needs_its_own_grant(agent):
    args = ["shop/sandbox", "POST", PAY, "--body", "-"]
    agent.refused("DENIED", "explain", "sign", *args, input=BODY, uid=STRANGER)
    assert agent.ctl("sign", *args, input=BODY, uid=STRANGER)["headers"]
    agent.refused("DENIED", "explain", "sign", "shop/none", *args[1:], input=BODY)


@pytest.mark.parametrize("params, field", [
    (dict(kind="wish"), "kind"), (dict(kind=""), "kind"), (dict(kind="sign", uri="ams"), "uri"),
    (dict(kind="response", method="post"), "method"), (dict(kind="sign", headers=3), "headers"),
    (dict(kind="sign", surprise=1), "surprise"), (dict(headers={"signature": ["a", "b"]}), "headers"),
])
def test_bad_params(client, params, field):
    with pytest.raises(AntomError) as e:
        explain(client, **params)
    assert e.value.name == "BAD_PARAM" and e.value.field == field


def test_is_rate_limited(agent):
    with Client(agent.agent_sock) as c:
        ids = [c.send("explain", kind="sign", profile="shop/sandbox", method="POST", uri=PAY, body=b"") for _ in range(60)]
        refused = []
        for i in ids:
            try:
                c.collect(i)
            except AntomError as e:
                refused.append(e)
        assert refused and {e.name for e in refused} == {"BUSY"}
        assert all(0 < e.retry_after_ms <= 1000 for e in refused)
        explain(c, kind="sign")  # after the time it was told


def test_large_body(client, keys):
    body = b'{"a":"' + b"x" * (1024 * 1024 - 9) + b'"}\n'
    told = explain(client, body=body, headers=signed(keys, body[:-1]))
    assert causes(told) == ["newline_added"]


# ---- antomctl


def run(agent, kind, headers, body, tmp_path, *more):
    path = tmp_path / "body"
    path.write_bytes(body)
    args = [x for n, v in headers.items() for x in ("--header", f"{n}: {v}")]
    return agent.ctl_raw(*more, "explain", kind, "shop/sandbox", "POST", PAY, *args, "--body", path)


def test_command(agent, keys, tmp_path):
    done = run(agent, "response", signed(keys), BODY + b"\n", tmp_path)
    said = " ".join(done.stdout.decode().split())
    assert done.returncode == 5 and "SIGNATURE_INVALID" in said
    assert "found: a line end stands behind the body that was not signed" in said and "to do: " in said
    assert f"POST {SENT} {SANDBOX_ID}." in said and f"<the body, {len(BODY) + 1} bytes>" in said
    assert max(len(x) for x in done.stdout.decode().splitlines()) <= 100
    done = run(agent, "response", signed(keys), BODY, tmp_path)
    assert done.returncode == 0 and done.stdout.decode().startswith("OK: this would be taken\n")
    told = json.loads(run(agent, "response", {}, BODY, tmp_path, "--json").stdout)
    assert causes(told) == ["unsigned_answer"] and told["verdict"] == "UNSIGNED"
    done = run(agent, "sign", {}, BODY, tmp_path)
    assert done.returncode == 0 and "OK: this would be signed" in done.stdout.decode()
