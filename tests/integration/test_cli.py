"""antomctl against a real agent: every command in the forms that are promised."""
import base64
import hashlib
import json
import os
import re
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

import judge
from agent_fixture import BIN, SLOW, Agent, CtlError

CLIENT = "SANDBOX_5X00000000000001"
GATEWAY = "https://open-sea-global.alipay.com"
PAY = "/ams/api/v1/payments/pay"
BODY = b'{"paymentAmount":{"currency":"SGD","value":"4200"}}'
APP = ["--role", "merchant", "--region", "SG", "--product", "CASHIER_PAYMENT", "--currency", "SGD"]


def text(agent, *args, **more):
    """Standard output of a command that must succeed, as a person sees it."""
    done = agent.ctl_raw(*args, **more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def width(shown):
    """The widest line; commands to be copied stay in one."""
    return max(len(line) for line in shown.splitlines() if not line.startswith("next: "))


def fails(agent, name, *args, **more):
    with pytest.raises(CtlError) as caught:
        agent.ctl(*map(str, args), **more)
    assert caught.value.name == name, caught.value
    return caught.value


def pem_of(key, passphrase=None):
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def fingerprint(public_key):
    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()


def make_app(agent, app, antom_key=None):
    """An application whose sandbox profile signs, verifies, and is granted to this uid."""
    profile = f"{app}/sandbox"
    agent.ctl("app", "create", app, *APP)
    agent.ctl("profile", "set", profile, "--client-id", f"SANDBOX_{app.upper()}", "--gateway", GATEWAY)
    agent.ctl("key", "generate", profile)
    if antom_key is not None:
        agent.ctl("antom-key", "add", profile, input=judge.spki(antom_key))
    agent.ctl("grant", "add", profile, "--uid", os.getuid(), "--ops", "sign,verify")
    return profile


def test_init_is_once(shared_agent):
    before = {p.name: p.stat().st_mtime_ns for p in shared_agent.home.iterdir() if p.is_file()}
    error = fails(shared_agent, "ALREADY_INITIALISED", "init", "--staff-uid", os.getuid())
    assert error.status == 4
    after = {p.name: p.stat().st_mtime_ns for p in shared_agent.home.iterdir() if p.is_file()}
    assert {n: after[n] for n in ("agent.conf", "registry.db", "root.seal")} == \
           {n: before[n] for n in ("agent.conf", "registry.db", "root.seal")}


def test_init_for_people():
    agent = Agent(init=False)
    try:
        shown = text(agent, "init", "--staff-uid", os.getuid())
        assert f"antom-agent --home {agent.home}" in shown and "status --wait" in shown
        assert (agent.home / "agent.conf").exists()
        done = agent.ctl_raw("app", "list")
        assert done.returncode == 6 and f"antom-agent --home {agent.home}".encode() in done.stderr
    finally:
        agent.remove()


def test_init_under_sudo_names_staff():
    agent = Agent(init=False)
    try:
        if os.getuid() != 0:
            pytest.skip("needs uid 0")
        done = subprocess.run([str(BIN / "antomctl"), "--home", str(agent.home), "init"], capture_output=True,
                              env={**agent.env(), "SUDO_UID": "1000"})
        assert done.returncode == 2 and b"--staff-uid" in done.stderr and not agent.home.exists()
    finally:
        agent.remove()


def test_passphrase_seal():
    agent = Agent(seal="passphrase", passphrase="correct horse\n")
    try:
        agent.start(wait=False)
        assert agent.ctl("status", "--wait", "30")["state"] == "locked"
        assert fails(agent, "LOCKED", "app", "list").status == 4
        assert "unlock" in agent.ctl_raw("app", "list").stderr.decode()
        assert fails(agent, "WRONG_PASSPHRASE", "unlock", input="wrong horse\n").status == 2
        assert agent.ctl("unlock", input="correct horse\n")["state"] == "ready"
        assert agent.ctl("app", "list") == {"apps": []}
        assert agent.ctl("lock")["state"] == "locked"
        assert agent.ctl("unlock", input="correct horse")["state"] == "ready"
    finally:
        agent.remove()


def test_status(shared_agent):
    status = shared_agent.ctl("status")
    assert status["state"] == "ready" and status["pid"] > 0
    assert {"front", "keeper", "steward"} <= {r["role"] for r in status["roles"]}
    shown = text(shared_agent, "status")
    assert "ready" in shown and width(shown) <= 100


def test_status_wait_from_before_the_start():
    agent = Agent()
    try:
        waited = {}
        thread = threading.Thread(target=lambda: waited.update(agent.ctl("status", "--wait", "60")))
        thread.start()
        time.sleep(0.3)
        agent.start()
        thread.join(60 * SLOW)
        assert waited["state"] == "ready"
    finally:
        agent.remove()


def test_version_and_doctor(shared_agent):
    version = shared_agent.ctl("version")
    assert version["agent"]["version"] == version["version"] and version["agent"]["protocol"] == 1
    checks = shared_agent.ctl_raw("--json", "doctor")
    assert checks.returncode in (0, 4) and json.loads(checks.stdout)["checks"]


def test_from_nothing_to_a_verified_signature(shared_agent, antom_key):
    shown = text(shared_agent, "app", "create", "first", *APP)
    assert "next: antomctl --home" in shown and "profile set first/sandbox" in shown
    profile = "first/sandbox"
    assert shared_agent.ctl("profile", "set", profile, "--client-id", CLIENT, "--gateway", GATEWAY)["client_id"] == CLIENT
    assert shared_agent.ctl("key", "generate", profile, "--key-version", "3")["state"] == "active"
    shared_agent.ctl("grant", "add", profile, "--uid", os.getuid(), "--ops", "sign,verify")
    done = shared_agent.ctl_raw("key", "export", profile)
    public = done.stdout.decode().strip()
    assert done.stderr.decode().strip() == fingerprint(public)
    signed = shared_agent.ctl("sign", profile, "POST", PAY, "--body", "-", input=BODY)
    assert signed["uri"] == "/ams/sandbox/api/v1/payments/pay"
    assert judge.judge_request(judge.load_public(public), "POST", signed["uri"], CLIENT, signed["headers"], BODY) == 3
    shown = text(shared_agent, "sign", profile, "POST", PAY, "--body", "-", input=BODY)
    headers, rest = shown.split("\n\n")
    assert [h.split(": ")[0] for h in headers.splitlines()][:3] == ["Client-Id", "Request-Time", "Signature"]
    chain, seq = signed["record"].split(":")
    uri, url, line = rest.splitlines()
    assert (uri, url) == (f"uri: {signed['uri']}", f"url: {signed['url']}")
    assert line.startswith(f"record: {chain}:") and int(line.rpartition(":")[2]) > int(seq)

    verify = ["verify", "response", profile, "POST", PAY, "--body", "-"]
    now = str(int(time.time() * 1000))
    message = judge.string_to_sign("POST", signed["uri"], CLIENT, now, BODY)
    raw = antom_key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    value = base64.b64encode(raw).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    headers = ["--header", f"client-id: {CLIENT}", "--header", f"response-time: {now}",
               "--header", f"signature: algorithm=RSA256, keyVersion=1, signature={value}"]
    error = fails(shared_agent, "NO_ANTOM_KEY", *verify, *headers, input=BODY)
    assert error.status == 4
    shared_agent.ctl("antom-key", "add", profile, input=judge.spki(antom_key))
    facts = shared_agent.ctl(*verify, *headers, input=BODY)
    assert facts["version"] == 1 and facts["time"] == now
    assert text(shared_agent, *verify, *headers, input=BODY).startswith("verified: ")
    assert fails(shared_agent, "SIGNATURE_INVALID", *verify, *headers, input=BODY + b" ").status == 5
    assert fails(shared_agent, "UNSIGNED", *verify, "--header", "x: y", input=BODY).status == 5
    assert fails(shared_agent, "HALF_SIGNED", *verify, *headers[2:], input=BODY).status == 5


def test_key_life(shared_agent):
    profile = make_app(shared_agent, "life")
    second = shared_agent.ctl("key", "generate", profile)
    assert (second["version"], second["state"]) == (2, "staged")
    assert "key activate life/sandbox" in text(shared_agent, "key", "generate", profile)
    assert shared_agent.ctl("key", "activate", profile, 2)["state"] == "active"
    keys = {k["version"]: k["state"] for k in shared_agent.ctl("key", "list", profile)["keys"]}
    assert keys == {1: "retiring", 2: "active", 3: "staged"}
    assert shared_agent.ctl("key", "suspend", profile, 2, "--reason", "a test")["state"] == "suspended"
    with pytest.raises(CtlError) as caught:
        shared_agent.ctl("sign", profile, "POST", PAY, "--body", "-", input=BODY)
    assert caught.value.status == 4  # KEY_STATE or NO_ACTIVE_KEY
    assert shared_agent.ctl("key", "resume", profile, 2)["state"] == "active"
    assert shared_agent.ctl("key", "set", profile, 2, "--key-version", 9)["key_version"] == 9
    one = shared_agent.ctl("key", "show", profile, 2)
    assert one["fingerprint"] == fingerprint(one["public_key"]) and one["key_version"] == 9
    assert re.search(r"since +20\d\d-", text(shared_agent, "key", "show", profile, 2))
    assert width(text(shared_agent, "key", "list", profile)) <= 100
    assert fails(shared_agent, "NOT_FOUND", "key", "show", profile, 99).status == 4
    pem = text(shared_agent, "key", "export", profile, "--version", 3, "--pem")
    assert serialization.load_pem_public_key(pem.encode()).key_size == 2048


def test_import(shared_agent, tmp_path):
    shared_agent.ctl("app", "create", "imported", *APP)
    profile = "imported/sandbox"
    plain, locked = judge.new_key(), judge.new_key()
    path, phrase = tmp_path / "key.pem", tmp_path / "phrase"
    made = shared_agent.ctl("key", "import", profile, input=judge.pkcs8(plain))
    assert made["origin"] == "imported" and made["fingerprint"] == fingerprint(judge.spki(plain))
    path.write_bytes(pem_of(locked, b"sesame"))
    phrase.write_text("sesame\n")
    error = fails(shared_agent, "KEY_ENCRYPTED", "key", "import", profile, "--file", path)
    assert error.status == 2
    made = shared_agent.ctl("key", "import", profile, "--file", path, "--passphrase-file", phrase)
    assert made["state"] == "staged" and made["fingerprint"] == fingerprint(judge.spki(locked))
    phrase.write_text("wrong\n")
    fails(shared_agent, "WRONG_PASSPHRASE", "key", "import", profile, "--file", path, "--passphrase-file", phrase)
    fails(shared_agent, "KEY_IS_PUBLIC", "key", "import", profile, input=judge.spki(plain))
    fails(shared_agent, "KEY_FORM", "key", "import", profile, input="hello")
    fails(shared_agent, "KEY_IS_PRIVATE", "antom-key", "add", profile, input=judge.pkcs8(judge.new_key()))
    fails(shared_agent, "KEY_IS_OURS", "antom-key", "add", profile, input=judge.spki(plain))


def test_antom_keys(shared_agent):
    profile = make_app(shared_agent, "antom", judge.new_key())
    assert shared_agent.ctl("antom-key", "add", profile, input=judge.spki(judge.new_key()))["version"] == 2
    keys = shared_agent.ctl("antom-key", "list", profile)["antom_keys"]
    assert {k["version"] for k in keys} == {1, 2}
    assert shared_agent.ctl("antom-key", "revoke", profile, 1)["state"] == "revoked"
    assert "revoked" in text(shared_agent, "antom-key", "list")


def test_grants(shared_agent):
    profile = make_app(shared_agent, "grants")
    grant = shared_agent.ctl("grant", "add", profile, "--gid", 4711, "--ops", "sign", "--path", "/ams/api/**",
                             "--path", "/x/*", "--method", "POST", "--query", "--max-body", 1000)
    assert grant["gid"] == 4711 and grant["paths"] == ["/ams/api/**", "/x/*"] and grant["query"] is True
    listed = shared_agent.ctl("grant", "list", profile)["grants"]
    assert grant in listed and len(listed) == 2
    assert "gid 4711" in text(shared_agent, "grant", "list")
    shared_agent.ctl("grant", "remove", grant["grant"])
    assert grant not in shared_agent.ctl("grant", "list")["grants"]
    assert fails(shared_agent, "NOT_FOUND", "grant", "remove", grant["grant"]).status == 4


def test_denied_says_how_to_be_granted(shared_agent):
    profile = make_app(shared_agent, "denied")
    for grant in shared_agent.ctl("grant", "list", profile)["grants"]:
        shared_agent.ctl("grant", "remove", grant["grant"])
    done = shared_agent.ctl_raw("sign", profile, "POST", PAY, "--body", "-", input=BODY)
    assert done.returncode == 3
    assert f"grant add {profile} --uid {os.getuid()} --ops sign".encode() in done.stderr


def test_fence(shared_agent):
    shared_agent.ctl("app", "create", "fenced", *APP)
    fence = shared_agent.ctl("fence", "add", "fenced/live", "--path", "/ams/sandbox/api/v1/x")
    assert shared_agent.ctl("fence", "list", "fenced/live")["fences"] == [fence]
    shared_agent.ctl("fence", "remove", "fenced/live", "--path", "/ams/sandbox/api/v1/x")
    assert shared_agent.ctl("fence", "list", "fenced/live")["fences"] == []


def test_profiles(shared_agent):
    shared_agent.ctl("app", "create", "profiles", *APP, "--description", "a shop", "--scenario", "one")
    app = shared_agent.ctl("app", "show", "profiles")
    assert app["description"] == "a shop" and app["scenarios"] == ["one"]
    assert "profiles" in text(shared_agent, "app", "list")
    assert "profile set profiles/live --client-id" in text(shared_agent, "profile", "show", "profiles/live")
    assert fails(shared_agent, "EXISTS", "app", "create", "profiles", *APP).status == 4
    assert fails(shared_agent, "WRONG_ENVIRONMENT", "profile", "set", "profiles/live", "--client-id",
                 "SANDBOX_X").status == 2
    assert fails(shared_agent, "NOT_FOUND", "profile", "show", "nothing/live").status == 4


def test_strangers_are_no_staff(shared_agent):
    if os.getuid() != 0:
        pytest.skip("needs uid 0")
    assert fails(shared_agent, "NOT_STAFF", "app", "list", uid=10001).status == 3
    assert shared_agent.ctl("version", uid=10001)["agent"] is None
