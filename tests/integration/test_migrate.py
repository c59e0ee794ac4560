"""Private keys that lie in files: found by `migrate scan` wherever services put them, never printed, no false alarm; and taken by
`migrate import`. Fingerprints are judged by another implementation."""
import base64
import gzip
import hashlib
import io
import json
import os
import pty
import subprocess
import tarfile
import zipfile

import pytest
from cryptography.hazmat.primitives import serialization

import judge
from agent_fixture import BIN
from antom_client import Client

CLIENT_ID = "SANDBOX_5Xmigrate"


@pytest.fixture(scope="module")
def keys():
    return [judge.new_key() for _ in range(3)]


def fingerprint(key):
    return hashlib.sha256(base64.b64decode(judge.spki(key))).hexdigest()


def pem(key, form=serialization.PrivateFormat.PKCS8, password=None):
    kind = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, kind).decode()


def pkcs1(key):
    return base64.b64encode(key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL,
                                              serialization.NoEncryption())).decode()


def scan(*paths, agent=None, **more):
    """What it found, without an agent unless one is given."""
    if agent is not None:
        return agent.ctl("migrate", "scan", *paths, **more)
    done = subprocess.run([str(BIN / "antomctl"), "--home", "/nonexistent", "--json", "migrate", "scan", *map(str, paths)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def tree(folder, keys):
    """A service's folder: its places of keys as (path within, line)."""
    a, b, c = keys
    (folder / "conf").mkdir(parents=True)
    (folder / "src").mkdir()
    (folder / "conf/application.yml").write_text(f"antom:\n  clientId: 5Y\n  privateKey: >-\n    {judge.pkcs8(a)}\n  publicKey: {judge.spki(b)}\n")
    (folder / ".env").write_text(f"A=1\nANTOM_KEY='{pkcs1(a)}'\n")
    (folder / "conf/key.pem").write_text(pem(b))
    (folder / "conf/old.key").write_bytes(base64.b64decode(judge.pkcs8(b)))
    text = judge.pkcs8(c)
    (folder / "src/Pay.java").write_text("class Pay {\n  String k = " + ' +\n    '.join(f'"{text[i:i + 70]}"' for i in range(0, len(text), 70)) + ";\n}\n")
    (folder / "src/pay.json").write_text(json.dumps({"key": pem(c), "escaped": judge.pkcs8(c)}).replace("/", "\\/"))
    return {("conf/application.yml", 4), (".env", 2), ("conf/key.pem", 2), ("conf/old.key", 1), ("src/Pay.java", 2), ("src/pay.json", 1)}


def places(found, folder):
    return {(os.path.relpath(p["path"], folder), p["line"]) for p in found["places"]}


def test_everywhere(tmp_path, keys):
    folder = tmp_path / "service"
    wanted = tree(folder, keys)
    found = scan(folder)
    assert places(found, folder) == wanted and len(found["places"]) == 7
    assert {k["fingerprint"]: k["places"] for k in found["keys"]} == {fingerprint(k): n for k, n in zip(keys, (2, 2, 3))}
    assert all(k["bits"] == 2048 and k["todo"] == "import, then rotate" for k in found["keys"])
    assert found["skipped"] == [] and found["files"] == 6 and found["bytes"] > 6000 and "agent" in found


def test_nothing_private_is_printed(tmp_path, keys):
    folder = tmp_path / "service"
    tree(folder, keys)
    for arguments in (["--json"], []):
        done = subprocess.run([str(BIN / "antomctl"), "--home", "/nonexistent", *arguments, "migrate", "scan", str(folder)],
                              capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and fingerprint(keys[0])[:16] in said
        for key in keys:
            assert not [i for i in range(0, 1500, 20) if judge.pkcs8(key)[100 + i:120 + i] in said]
        # commands are there to be copied, so they are not broken
        assert arguments or max(len(line) for line in done.stdout.splitlines() if not line.startswith("next:")) <= 100


def test_no_false_alarm(tmp_path, keys):
    """Public keys, certificates, requests, shortened examples, and megabytes of what only looks like base64."""
    a = keys[0]
    (tmp_path / "public.pem").write_text(subprocess.run(["openssl", "pkey", "-pubout"], input=pem(a), capture_output=True, text=True, check=True).stdout)
    for command in (["req", "-new", "-x509", "-subj", "/CN=x"], ["req", "-new", "-subj", "/CN=x"]):
        (tmp_path / "key.tmp").write_text(pem(a))
        done = subprocess.run(["openssl", *command, "-key", str(tmp_path / "key.tmp")], capture_output=True, text=True, check=True)
        (tmp_path / f"{len(command)}.pem").write_text(done.stdout)
    (tmp_path / "key.tmp").unlink()
    (tmp_path / "readme.md").write_text(f"privateKey={judge.pkcs8(a)[:60]}...\n-----BEGIN PRIVATE KEY-----\n(your key here)\n-----END PRIVATE KEY-----\n")
    (tmp_path / "noise").write_bytes(base64.b64encode(os.urandom(1 << 20)) + b"MIIEv" * 100000 + os.urandom(1 << 20))
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(tmp_path / "ec.pem")], check=True)
    found = scan(tmp_path)
    assert found["places"] == [] and found["files"] >= 6


def test_in_archives(tmp_path, keys):
    """Compressed, packed, one in the other, whatever the names say."""
    a, b, _ = keys
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("BOOT-INF/classes/app.properties", f"key={judge.pkcs8(a)}\n")
    for name, mode in (("backup.tar.gz", "w:gz"), ("backup.dat", "w:xz"), ("plain.tar", "w")):
        with tarfile.open(tmp_path / name, mode) as t:
            for entry, data in (("etc/.env", f"K={pkcs1(b)}\n".encode()), ("lib/app.jar", inner.getvalue())):
                info = tarfile.TarInfo(entry)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    (tmp_path / "one.gz").write_bytes(gzip.compress(pem(a).encode()))
    found = scan(tmp_path)
    entries = {(os.path.basename(p["path"]), p.get("entry")) for p in found["places"] if "entry" in p}
    wanted = {(n, e) for n in ("backup.tar.gz", "backup.dat", "plain.tar") for e in ("etc/.env", "lib/app.jar: BOOT-INF/classes/app.properties")}
    assert wanted | {("one.gz", "data")} <= entries | {("one.gz", "data")} and any(n == "one.gz" for n, _ in entries)
    assert {k["fingerprint"] for k in found["keys"]} == {fingerprint(a), fingerprint(b)}


def test_broken_archives_and_bombs(tmp_path, keys):
    """What comes out of an archive is bounded, and a broken one stops nothing."""
    whole = gzip.compress(b"A" * (300 << 20))
    (tmp_path / "bomb.gz").write_bytes(whole)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(os.urandom(100000))[:5000])
    (tmp_path / "false.zip").write_bytes(b"PK\x03\x04" + os.urandom(4000))
    (tmp_path / "then.txt").write_text(judge.pkcs8(keys[0]))
    found = scan(tmp_path)
    assert [os.path.basename(p["path"]) for p in found["places"]] == ["then.txt"]
    assert any("too large" in s["why"] for s in found["skipped"])


def test_encrypted_ones_are_named(tmp_path, keys):
    (tmp_path / "a.pem").write_text(pem(keys[0], password=b"secret"))
    (tmp_path / "b.pem").write_text(pem(keys[0], serialization.PrivateFormat.TraditionalOpenSSL, b"secret"))
    found = scan(tmp_path)
    assert [(p["form"], p["encrypted"], p["line"]) for p in found["places"]] == [("encrypted PEM", True, 1)] * 2 and found["keys"] == []


def test_links_devices_and_what_cannot_be_read(tmp_path, keys):
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "real").write_text(judge.pkcs8(keys[0]))
    (folder / "link").symlink_to("real")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    found = scan(folder)
    assert len(found["places"]) == 1 and found["files"] == 1
    assert len(scan(folder / "real", folder)["places"]) == 2
    if os.getuid() == 0:
        (folder / "real").chmod(0o600)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(BIN / "antomctl"), "--home", "/nonexistent",
                               "--json", "migrate", "scan", str(folder)], capture_output=True, text=True)
        if done.returncode == 0:  # where the test's own folder may be entered
            [skipped] = json.loads(done.stdout)["skipped"]
            assert skipped["path"].endswith("/real") and "Permission denied" in skipped["why"]
    done = subprocess.run([str(BIN / "antomctl"), "--json", "migrate", "scan", str(tmp_path / "none")], capture_output=True, text=True)
    assert done.returncode == 2 and "none" in done.stdout


def test_progress_on_a_terminal_only(tmp_path, keys):
    for n in range(200):
        (tmp_path / f"f{n}").write_bytes(os.urandom(300000))
    (tmp_path / "key").write_text(judge.pkcs8(keys[0]))
    master, slave = pty.openpty()
    done = subprocess.run([str(BIN / "antomctl"), "--home", "/nonexistent", "migrate", "scan", str(tmp_path)], stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0 and "files, " in shown and shown.endswith("\r\x1b[K")
    done = subprocess.run([str(BIN / "antomctl"), "--home", "/nonexistent", "migrate", "scan", str(tmp_path)], capture_output=True, text=True)
    assert done.stderr == "" and "Keys: 1. Places: 1." in done.stdout


def test_into_the_agent(agent, tmp_path, keys):
    """Found, taken, signed with, and told to be rotated."""
    a, b, _ = keys
    folder = tmp_path / "service"
    tree(folder, keys)
    agent.make_profile("shop", "sandbox", CLIENT_ID, key=False)
    agent.refused("BAD_PARAM", "migrate", "import", "shop/sandbox", "--file", folder)
    agent.refused("NOT_FOUND", "migrate", "import", "shop/sandbox", "--file", folder, "--fingerprint", "00")
    assert agent.ctl_raw("--json", "migrate", "import", "shop/sandbox", "--file", folder, "--fingerprint", "xyz").returncode == 2
    agent.refused("BAD_PARAM", "migrate", "import", "shop/sandbox", "--file", tmp_path / "none")
    got = agent.ctl("migrate", "import", "shop/sandbox", "--file", folder, "--fingerprint", fingerprint(a)[:10], "--key-version", 3)
    assert got["fingerprint"] == fingerprint(a)
    with Client(agent.agent_sock) as c:
        signed = c.call("sign_request", profile="shop/sandbox", method="POST", uri="/ams/api/v1/payments/pay", body=b"{}")
    assert judge.judge_request(a.public_key(), "POST", "/ams/sandbox/api/v1/payments/pay", CLIENT_ID, signed["headers"], b"{}") == 3
    found = scan(folder, agent=agent)
    by = {k["fingerprint"]: k for k in found["keys"]}
    assert by[fingerprint(a)]["held"] == [{"profile": "shop/sandbox", "version": 1, "state": "active"}]
    assert by[fingerprint(a)]["todo"] == "rotate" and by[fingerprint(b)]["todo"] == "import, then rotate" and "agent" not in found
    said = agent.ctl_raw("migrate", "scan", folder).stdout.decode()
    assert "the agent holds it: shop/sandbox key 1, active" in said and "rotate start shop/sandbox" in said and "readable by all" in said
