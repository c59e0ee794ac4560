"""Merchant keys, Antom keys, client ids and grants as staff sees them: versions, states, what is refused and
what the message tells; and that each command holds for callers when it returns."""
import base64
import hashlib
import itertools
import os
import subprocess

import pytest

import judge
from agent_fixture import SLOW
from antom_client import AntomError, Client

PAY, SENT = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"
GATEWAY = "https://open-sea-global.alipay.com"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def a(shared_agent):
    return shared_agent


@pytest.fixture
def client(a):
    with Client(a.agent_sock, timeout=10 * SLOW) as c:
        yield c


@pytest.fixture
def app(a):
    """A new application, empty; its name."""
    name = f"app{next(NUMBERS)}"
    a.ctl("app", "create", name, "--role", "merchant", "--region", "SG", "--product", "Checkout", "--currency", "USD")
    return name


@pytest.fixture
def profile(a, app):
    """A sandbox profile with client id and grant, without keys."""
    return a.make_profile(app, "sandbox", f"SANDBOX_5X{app}", key=False)


def sign(client, profile, uri=PAY, body=b"{}"):
    return client.call("sign_request", profile=profile, method="POST", uri=uri, body=body)


def fails(client, name, method, /, **params):
    with pytest.raises(AntomError) as error:
        client.call(method, **params)
    assert error.value.name == name, error.value
    return error.value.message


def sign_fails(client, profile, name):
    return fails(client, name, "sign_request", profile=profile, method="POST", uri=PAY, body=b"{}")


def verify(client, profile, key, client_id):
    headers = judge.response(key, SENT, client_id, b"{}")
    return client.call("verify_response", profile=profile, method="POST", uri=PAY, headers=headers, body=b"{}")


def health(client, profile):
    return next(p for p in client.call("health")["profiles"] if p["profile"] == profile)


def states(a, profile):
    return {k["version"]: k["state"] for k in a.ctl("key", "list", profile)["keys"]}


def signed_with(a, client, profile, version, key_version=1):
    """The profile signs now, with this version, and its exported public half verifies."""
    public = judge.load_public(a.ctl("key", "export", profile, "--version", version)["public_key"])
    got = sign(client, profile)
    assert (got["version"], got["key_version"]) == (version, key_version)
    client_id = a.ctl("profile", "show", profile)["client_id"]
    assert judge.judge_request(public, "POST", SENT, client_id, got["headers"], b"{}") == key_version


# ---- versions


def test_versions_and_the_first_activation(a, client, profile):
    first = a.ctl("key", "generate", profile)
    assert (first["version"], first["state"], first["bits"], first["origin"]) == (1, "active", 2048, "generated")
    signed_with(a, client, profile, 1)
    second = a.ctl("key", "import", profile, input=judge.pkcs8(judge.new_key()))
    assert (second["version"], second["state"], second["origin"]) == (2, "staged", "imported")
    third = a.ctl("key", "generate", profile)
    assert (third["version"], third["state"]) == (3, "staged")
    signed_with(a, client, profile, 1)  # staging changed nothing for callers
    assert states(a, profile) == {1: "active", 2: "staged", 3: "staged"}
    assert a.ctl("key", "activate", profile, 3)["state"] == "active"
    signed_with(a, client, profile, 3)
    assert states(a, profile) == {1: "retiring", 2: "staged", 3: "active"}
    rows = {k["version"]: k for k in a.ctl("key", "list", profile)["keys"]}
    assert rows[1]["reason"] == "superseded by version 3" and rows[1]["who"] == "agent"
    assert rows[1]["until_ms"] > rows[1]["state_since_ms"]
    assert rows[2]["who"] == "staff" and rows[2]["waits_for"]
    for version, row in rows.items():
        shown = a.ctl("key", "show", profile, version)
        assert judge.load_public(shown.pop("public_key"))
        row.pop("until_ms", None), shown.pop("until_ms", None)  # an estimate, made anew
        assert shown == row


def test_versions_are_never_used_twice(a, profile):
    """A refused import may use one up; none comes again, whatever lies between."""
    seen = [a.ctl("key", "generate", profile)["version"]]
    for given in (b"no key", judge.spki(judge.new_key())):
        a.refused("KEY_FORM" if given == b"no key" else "KEY_IS_PUBLIC", "key", "import", profile, input=given)
        seen.append(a.ctl("key", "generate", profile)["version"])
    a.ctl("key", "suspend", profile, seen[-1])
    seen.append(a.ctl("key", "generate", profile)["version"])
    assert seen == sorted(set(seen)) and seen[0] == 1
    prints = [k["fingerprint"] for k in a.ctl("key", "list", profile)["keys"]]
    assert len(set(prints)) == len(prints) == len(seen)


def test_first_key_after_a_stop_is_active(a, client, profile):
    """A profile without an active key takes the next one at once, also when an older one is suspended."""
    a.ctl("key", "generate", profile)
    a.ctl("key", "suspend", profile, 1)
    assert a.ctl("key", "generate", profile)["state"] == "active"
    signed_with(a, client, profile, 2)
    assert a.ctl("key", "resume", profile, 1)["state"] == "retiring"  # another one is active now
    signed_with(a, client, profile, 2)


# ---- the header's keyVersion


def test_key_version(a, client, profile):
    assert a.ctl("key", "generate", profile, "--key-version", 5)["key_version"] == 5
    signed_with(a, client, profile, 1, 5)
    assert a.ctl("key", "set", profile, 1, "--key-version", 9)["key_version"] == 9
    signed_with(a, client, profile, 1, 9)
    assert a.ctl("key", "set", profile, 1, "--key-version", 4294967295)["key_version"] == 4294967295
    signed_with(a, client, profile, 1, 4294967295)
    for bad in ("0", "4294967296", "18446744073709551616", "-1", "x", "1.0", ""):
        assert a.ctl_raw("--json", "key", "set", profile, 1, "--key-version", bad).returncode == 2, bad
        assert a.ctl_raw("--json", "key", "generate", profile, "--key-version", bad).returncode == 2, bad
    a.refused("USAGE", "key", "set", profile, 1)
    a.refused("NOT_FOUND", "key", "set", profile, 2, "--key-version", 1)
    assert [k["key_version"] for k in a.ctl("key", "list", profile)["keys"]] == [4294967295]
    signed_with(a, client, profile, 1, 4294967295)


# ---- export


def openssl_fingerprint(pem):
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem, capture_output=True,
                         check=True).stdout
    return hashlib.sha256(der).hexdigest(), der


@pytest.mark.parametrize("bits", [2048, 4096])
def test_export(a, profile, bits):
    key = judge.new_key(bits)
    row = a.ctl("key", "import", profile, input=judge.pkcs8(key))
    pem = a.ctl("key", "export", profile, "--pem")
    bare = a.ctl("key", "export", profile, "--version", 1)
    fingerprint, der = openssl_fingerprint(pem["public_key"].encode())
    assert base64.b64decode(bare["public_key"], validate=True) == der
    assert bare["public_key"] == judge.spki(key)
    assert fingerprint == pem["fingerprint"] == bare["fingerprint"] == row["fingerprint"]
    assert all(len(line) <= 64 for line in pem["public_key"].splitlines())
    shown = a.ctl_raw("key", "export", profile)
    assert shown.stdout == bare["public_key"].encode() + b"\n"
    assert shown.stderr == fingerprint.encode() + b"\n"
    shown = a.ctl_raw("key", "export", profile, "--pem")
    assert shown.stdout == pem["public_key"].encode() and shown.stdout.endswith(b"-----END PUBLIC KEY-----\n")
    assert a.ctl("key", "show", profile, 1)["public_key"] == bare["public_key"]


def test_export_picks(a, profile):
    said = a.refused("NO_ACTIVE_KEY", "key", "export", profile)
    assert f"antomctl key list {profile}" in said
    for _ in range(3):
        a.ctl("key", "generate", profile)
    assert a.ctl("key", "export", profile)["version"] == 1
    assert a.ctl("key", "export", profile, "--version", 3)["version"] == 3
    a.ctl("key", "suspend", profile, 1)
    a.refused("NO_ACTIVE_KEY", "key", "export", profile)  # two are staged
    a.ctl("key", "suspend", profile, 2)
    assert a.ctl("key", "export", profile)["version"] == 3  # the only one
    a.refused("NOT_FOUND", "key", "export", profile, "--version", 4)
    a.refused("NOT_FOUND", "key", "export", "nothing/sandbox")


# ---- states


def test_suspend_and_resume(a, client, profile):
    a.ctl("key", "generate", profile)
    stopped = a.ctl("key", "suspend", profile, 1, "--reason", "seen in a log")
    assert (stopped["state"], stopped["reason"], stopped["who"]) == ("suspended", "seen in a log", "staff")
    for _ in range(3):
        said = sign_fails(client, profile, "KEY_STATE")
        assert "version 1" in said and f"antomctl key resume {profile} 1" in said
    now = health(client, profile)
    assert now["sign"] == "KEY_STATE" and "suspended" in now["sign_why"]
    shown = next(p for p in a.ctl("status")["profiles"] if p["profile"] == profile)
    assert shown["sign"] == "KEY_STATE" and f"antomctl key resume {profile} 1" in shown["sign_why"]
    a.refused("KEY_STATE", "key", "suspend", profile, 1)
    assert a.ctl("key", "resume", profile, 1)["state"] == "active"
    signed_with(a, client, profile, 1)
    assert health(client, profile)["sign"] == "ready"
    assert "reason" not in a.ctl("key", "show", profile, 1)


def test_suspended_staged_and_retiring_keys_come_back_as_what_they_were(a, client, profile):
    for _ in range(3):
        a.ctl("key", "generate", profile)
    a.ctl("key", "activate", profile, 2)
    assert states(a, profile) == {1: "retiring", 2: "active", 3: "staged"}
    for version in (1, 3):
        assert a.ctl("key", "suspend", profile, version)["state"] == "suspended"
    signed_with(a, client, profile, 2)
    for version in (1, 3):
        a.refused("KEY_STATE", "key", "activate", profile, version)
        a.ctl("key", "resume", profile, version)
    assert states(a, profile) == {1: "retiring", 2: "active", 3: "staged"}
    signed_with(a, client, profile, 2)


def test_roll_back(a, client, profile):
    """A superseded key is one step from active, as often as it takes."""
    a.ctl("key", "generate", profile)
    a.ctl("key", "generate", profile)
    for version in (2, 1, 2, 1):
        assert a.ctl("key", "activate", profile, version)["state"] == "active"
        signed_with(a, client, profile, version)
        assert states(a, profile) == {version: "active", 3 - version: "retiring"}


ABSENT = [  # what leads to the state, then what it does not allow, and words of the refusal
    ("active is activated", [], "activate", ["active", "activate"]),
    ("active is resumed", [], "resume", ["active", "resume"]),
    ("staged is resumed", ["stage"], "resume", ["staged", "resume"]),
    ("retiring is resumed", ["stage", "supersede"], "resume", ["retiring", "resume"]),
    ("suspended is activated", ["suspend"], "activate", ["suspended", "activate"]),
    ("suspended is suspended", ["suspend"], "suspend", ["suspended", "suspend"]),
    ("suspended when staged is activated", ["stage", "suspend"], "activate", ["suspended", "activate"]),
]


@pytest.mark.parametrize("steps, command, words", [row[1:] for row in ABSENT], ids=[row[0] for row in ABSENT])
def test_absent_transitions(a, profile, steps, command, words):
    a.ctl("key", "generate", profile)
    version = 1
    if "stage" in steps:
        version = a.ctl("key", "generate", profile)["version"]
    if "supersede" in steps:
        a.ctl("key", "activate", profile, 2)
        version = 1
    if "suspend" in steps:
        a.ctl("key", "suspend", profile, version)
    before = a.ctl("key", "list", profile)
    said = a.refused("KEY_STATE", "key", command, profile, version)
    for word in [*words, f"{profile} version {version}"]:
        assert word in said
    after = a.ctl("key", "list", profile)
    for row in [*before["keys"], *after["keys"]]:
        row.pop("until_ms", None)
    assert after == before


@pytest.mark.parametrize("command", ["activate", "suspend", "resume", "show"])
def test_no_such_key(a, profile, command):
    said = a.refused("NOT_FOUND", "key", command, profile, 1)
    assert "version 1" in said and "key list" in said
    a.refused("BAD_PARAM", "key", command, profile, 0)
    a.refused("BAD_PARAM", "key", command, profile, 4294967297)
    a.refused("NOT_FOUND", "key", command, "nothing/sandbox", 1)


def test_no_such_keyring(a, profile):
    assert "soft" in a.refused("NOT_FOUND", "key", "generate", profile, "--keyring", "hsm")
    assert states(a, profile) == {}


# ---- one key, one place


def test_same_key_twice(a, app, profile):
    key = judge.pkcs8(judge.new_key())
    a.ctl("key", "import", profile, input=key)
    assert f"{profile} " in a.refused("KEY_KNOWN", "key", "import", profile, input=key)
    said = a.refused("KEY_KNOWN", "key", "import", f"{app}/live", input=key)
    assert profile in said and "sandbox and live" in said
    a.ctl("key", "suspend", profile, 1)
    a.refused("KEY_KNOWN", "key", "import", profile, input=key)  # stopped is not forgotten
    a.refused("KEY_KNOWN", "key", "import", f"{app}/live", input=key)
    assert states(a, profile) == {1: "suspended"} and states(a, f"{app}/live") == {}


def test_same_key_in_another_environment_of_another_application(a, profile):
    key = judge.pkcs8(judge.new_key())
    a.ctl("key", "import", profile, input=key)
    other = a.make_profile(f"app{next(NUMBERS)}", "live", "5Ysame", key=False)
    assert profile in a.refused("KEY_KNOWN", "key", "import", other, input=key)


def test_same_key_in_two_applications_warns(a, client, profile):
    key = judge.pkcs8(judge.new_key())
    assert "warning" not in a.ctl("key", "import", profile, input=key)
    other = a.make_profile(f"app{next(NUMBERS)}", "sandbox", key=False)
    assert f"{profile} version 1" in a.ctl("key", "import", other, input=key)["warning"]
    assert f"{other} version 1" in a.ctl("key", "show", profile, 1)["warning"]
    signed_with(a, client, profile, 1)
    signed_with(a, client, other, 1)


def test_antom_key_that_is_ours(a, app, profile):
    a.ctl("key", "generate", profile)
    ours = a.ctl("key", "export", profile)["public_key"]
    for where in (profile, f"{app}/live"):
        said = a.refused("KEY_IS_OURS", "antom-key", "add", where, input=ours)
        assert f"{profile} version 1" in said
    a.refused("KEY_IS_OURS", "antom-key", "add", profile, "--same-as-other-environment", input=ours)
    assert a.ctl("antom-key", "list", profile) == {"antom_keys": []}


def test_merchant_key_that_is_antoms(a, profile):
    key = judge.new_key()
    a.ctl("antom-key", "add", profile, input=judge.spki(key))
    assert "Antom" in a.refused("KEY_KNOWN", "key", "import", profile, input=judge.pkcs8(key))
    assert states(a, profile) == {}


def test_antom_key_of_the_other_environment(a, app, profile):
    key = judge.spki(judge.new_key())
    a.ctl("antom-key", "add", profile, input=key)
    said = a.refused("KEY_OTHER_ENVIRONMENT", "antom-key", "add", f"{app}/live", input=key)
    assert profile in said and "--same-as-other-environment" in said
    assert a.ctl("antom-key", "list", f"{app}/live") == {"antom_keys": []}
    row = a.ctl("antom-key", "add", f"{app}/live", "--same-as-other-environment", input=key)
    assert row["state"] == "active" and profile in row["warning"]
    a.refused("KEY_KNOWN", "antom-key", "add", profile, "--same-as-other-environment", input=key)


# ---- Antom keys: overlap, end


def test_antom_keys_overlap(a, client, app, profile):
    client_id, old, new = f"SANDBOX_5X{app}", judge.new_key(), judge.new_key()
    fails(client, "NO_ANTOM_KEY", "verify_response", profile=profile, method="POST", uri=PAY, body=b"{}",
          headers=judge.response(old, SENT, client_id, b"{}"))
    assert a.ctl("antom-key", "add", profile, input=judge.spki(old))["version"] == 1
    assert verify(client, profile, old, client_id)["version"] == 1
    assert a.ctl("antom-key", "add", profile, input=judge.spki(new))["version"] == 2
    rows = {k["version"]: k for k in a.ctl("antom-key", "list", profile)["antom_keys"]}
    assert (rows[1]["state"], rows[2]["state"]) == ("retiring", "active")
    assert rows[1]["until_ms"] - rows[1]["state_since_ms"] > 24.9 * 3600 * 1000 and "until_ms" not in rows[2]
    assert verify(client, profile, old, client_id)["version"] == 1
    assert verify(client, profile, new, client_id)["version"] == 2
    headers = judge.response(old, "/notify?a=1", client_id, b"n", kind="notification")
    assert client.call("verify_notification", profile=profile, method="POST", uri="/notify?a=1", headers=headers,
                       body=b"n")["version"] == 1
    assert a.ctl("antom-key", "revoke", profile, 1)["state"] == "revoked"
    with pytest.raises(AntomError) as error:
        verify(client, profile, old, client_id)
    assert error.value.name == "SIGNATURE_INVALID"
    assert verify(client, profile, new, client_id)["version"] == 2
    a.refused("KEY_STATE", "antom-key", "revoke", profile, 1)
    a.refused("NOT_FOUND", "antom-key", "revoke", profile, 3)
    a.ctl("antom-key", "revoke", profile, 2)
    with pytest.raises(AntomError) as error:
        verify(client, profile, new, client_id)
    assert error.value.name == "NO_ANTOM_KEY" and f"antomctl antom-key add {profile}" in error.value.message
    assert health(client, profile)["verify"] == "NO_ANTOM_KEY"
    again = a.ctl("antom-key", "add", profile, input=judge.spki(old))  # versions are not used again
    assert again["version"] == 3 and "revoked" in again["warning"]
    assert verify(client, profile, old, client_id)["version"] == 3


def test_antom_key_twice(a, profile):
    key = judge.spki(judge.new_key())
    a.ctl("antom-key", "add", profile, input=key)
    assert "version 1" in a.refused("KEY_KNOWN", "antom-key", "add", profile, input=key)


def test_antom_keys_of_three_generations(a, client, app, profile):
    """The one before the last still verifies: its overlap counts from when it was superseded."""
    keys = [judge.new_key() for _ in range(3)]
    for key in keys:
        a.ctl("antom-key", "add", profile, input=judge.spki(key))
    for version, key in enumerate(keys, 1):
        assert verify(client, profile, key, f"SANDBOX_5X{app}")["version"] == version


# ---- client ids and what a profile lacks


def test_client_id_fence(a, app):
    assert "SANDBOX_" in a.refused("WRONG_ENVIRONMENT", "profile", "set", f"{app}/sandbox", "--client-id", "5Y1")
    assert "SANDBOX_" in a.refused("WRONG_ENVIRONMENT", "profile", "set", f"{app}/live", "--client-id", "SANDBOX_5X")
    a.refused("USAGE", "profile", "set", f"{app}/sandbox", "--client-id", "")
    for bad in ("SANDBOX_a.b", "SANDBOX_ a", "SANDBOX_é", "SANDBOX_" + "x" * 57, "SANDBOX_a\n"):
        a.refused("BAD_PARAM", "profile", "set", f"{app}/sandbox", "--client-id", bad)
    assert a.ctl("profile", "show", f"{app}/sandbox")["client_id"] == ""
    longest = "SANDBOX_" + "x" * 56
    assert a.ctl("profile", "set", f"{app}/sandbox", "--client-id", longest)["client_id"] == longest


def test_client_id_stands_in_one_profile(a, app, profile):
    taken = a.ctl("profile", "show", profile)["client_id"]
    other = f"app{next(NUMBERS)}"
    a.ctl("app", "create", other, "--role", "isv", "--region", "SG", "--product", "x", "--currency", "USD")
    said = a.refused("CLIENT_ID_TAKEN", "profile", "set", f"{other}/sandbox", "--client-id", taken)
    assert profile in said
    a.ctl("profile", "set", profile, "--client-id", taken)  # its own is no clash
    a.ctl("profile", "set", profile, "--client-id", taken + "x")
    a.ctl("profile", "set", f"{other}/sandbox", "--client-id", taken)  # free now


def test_what_is_missing_names_its_command(a, client, app):
    profile = f"{app}/sandbox"

    def missing():
        return a.ctl("profile", "show", profile)["missing"]

    commands = [f"antomctl profile set {profile} --client-id", f"antomctl key generate {profile}",
                f"antomctl antom-key add {profile}", f"antomctl profile set {profile} --gateway"]
    assert len(missing()) == len(commands)
    for command in commands:
        assert any(command in text for text in missing()), command
    a.ctl("grant", "add", profile, "--uid", os.getuid(), "--ops", "sign,verify")
    assert commands[0] in sign_fails(client, profile, "PROFILE_INCOMPLETE")
    assert commands[0] in fails(client, "PROFILE_INCOMPLETE", "verify_response", profile=profile, method="POST",
                                uri=PAY, headers={}, body=b"")
    assert health(client, profile)["sign"] == "PROFILE_INCOMPLETE"
    a.ctl("profile", "set", profile, "--client-id", f"SANDBOX_5X{app}")
    assert commands[1] in sign_fails(client, profile, "NO_ACTIVE_KEY")
    assert health(client, profile)["sign"] == "NO_ACTIVE_KEY"
    a.ctl("key", "generate", profile)
    assert commands[2] in fails(client, "NO_ANTOM_KEY", "verify_response", profile=profile, method="POST", uri=PAY,
                                headers={}, body=b"")
    got = sign(client, profile)  # the gateway is not signed, so it may still be missing
    assert "url" not in got and got["uri"] == SENT
    a.ctl("antom-key", "add", profile, input=judge.spki(judge.new_key()))
    a.ctl("profile", "set", profile, "--gateway", GATEWAY)
    assert missing() == []
    now = health(client, profile)
    assert (now["sign"], now["verify"]) == ("ready", "ready")
    assert sign(client, profile)["url"] == GATEWAY + SENT


def test_profile_set_changes_only_what_is_given(a, app):
    profile = f"{app}/live"
    a.ctl("profile", "set", profile, "--client-id", f"5Y{app}", "--gateway", GATEWAY)
    row = a.ctl("profile", "set", profile, "--notify-url", "https://shop.example/notify", "--response-max-age-ms", 0)
    assert (row["client_id"], row["gateway"]) == (f"5Y{app}", GATEWAY)
    assert (row["notify_url"], row["response_max_age_ms"]) == ("https://shop.example/notify", 0)
    assert a.ctl("profile", "show", profile) == row
    a.refused("USAGE", "profile", "set", profile)
    for option, bad in [("--gateway", "http://open.example"), ("--gateway", "https://open.example/"),
                        ("--gateway", "https://u@open.example"), ("--notify-url", "ftp://shop.example"),
                        ("--notify-url", "https://shop.example/#x"), ("--response-max-age-ms", "2592000001")]:
        a.refused("BAD_PARAM", "profile", "set", profile, option, bad)
    assert a.ctl("profile", "show", profile) == row


# ---- grants


def test_grants_are_hot(a, client, profile):
    """What a grant gives and takes holds for a connection that is open, when the command has returned."""
    a.ctl("key", "generate", profile)
    [given] = a.ctl("grant", "list", profile)["grants"]
    assert (given["uid"], given["ops"]) == (os.getuid(), ["sign", "verify"])
    for _ in range(5):
        signed_with(a, client, profile, 1)
        assert a.ctl("grant", "remove", given["grant"])["grant"] == given["grant"]
        sign_fails(client, profile, "DENIED")
        assert not [p for p in client.call("hello")["profiles"] if p["profile"] == profile]
        assert a.ctl("grant", "list", profile) == {"grants": []}
        new = a.ctl("grant", "add", profile, "--uid", os.getuid(), "--ops", "sign,verify", "--query")
        assert new["grant"] > given["grant"]
        given = new
    a.refused("NOT_FOUND", "grant", "remove", given["grant"] + 1000000)


def test_grant_limits_are_hot(a, client, profile):
    a.ctl("key", "generate", profile)
    [given] = a.ctl("grant", "list", profile)["grants"]
    a.ctl("grant", "remove", given["grant"])
    a.ctl("grant", "add", profile, "--uid", os.getuid(), "--ops", "sign", "--path", "/ams/api/v1/payments/*",
          "--method", "POST", "--max-body", 10)
    assert sign(client, profile)["version"] == 1
    assert sign(client, profile, uri=SENT)["version"] == 1
    for params in [dict(uri="/ams/api/v1/refunds/query"), dict(uri=PAY + "?a=1"), dict(body=b"x" * 11),
                   dict(method="GET"), dict(uri=PAY + "/x")]:
        fails(client, "DENIED", "sign_request", **{**dict(profile=profile, method="POST", uri=PAY, body=b"{}"), **params})
    fails(client, "DENIED", "verify_response", profile=profile, method="POST", uri=PAY, headers={}, body=b"")
    a.ctl("grant", "add", profile, "--uid", os.getuid(), "--ops", "verify")
    fails(client, "NO_ANTOM_KEY", "verify_response", profile=profile, method="POST", uri=PAY, headers={}, body=b"")


@pytest.mark.parametrize("more", [["--uid", "65534"], ["--uid", "4294967295"], ["--uid", "x"], ["--uid", "-1"], [],
                                  ["--uid", "1", "--gid", "1"], ["--unit", "shop"], ["--unit", "a b.service"]])
def test_grants_refused(a, profile, more):
    before = a.ctl("grant", "list", profile)
    assert a.ctl_raw("--json", "grant", "add", profile, *more, "--ops", "sign").returncode == 2
    assert a.ctl("grant", "list", profile) == before


@pytest.mark.parametrize("ops", ["", "sing", "sign,", "sign,sign,x", "all"])
def test_ops_refused(a, profile, ops):
    assert a.ctl_raw("--json", "grant", "add", profile, "--uid", 1, "--ops", ops).returncode == 2


def test_unknown_and_forbidden_profile_look_the_same(a, client, app):
    """A caller without a grant does not learn which profiles there are."""
    a.ctl("profile", "set", f"{app}/live", "--client-id", f"5Y{app}")
    texts = {sign_fails(client, profile, "DENIED").replace(profile, "P")
             for profile in (f"{app}/live", f"{app}/sandbox", "nothing/live", "not a profile")}
    assert len(texts) == 1
