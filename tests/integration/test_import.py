"""Keys brought from elsewhere, through the real agent: every form that Antom's users have is taken and signs
as the original key; everything else is refused by name, and leaves nothing behind."""
import base64
import datetime
import itertools
import math
import os
import pathlib
import sqlite3
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa
import pytest

import judge
import keycraft
from agent_fixture import SLOW, Agent
from antom_client import Client

PAY, SENT = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"
PASSPHRASE = "correct horse 余额"
BASE64_LEN = {2048: 344, 3072: 512, 4096: 684}
APPS = itertools.count(1)
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
PKCS8, PKCS1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
SPKI, PKCS1_PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1


def private(key, encoding=DER, form=PKCS8, passphrase=None):
    protection = serialization.NoEncryption() if passphrase is None \
        else serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(encoding, form, protection)


def public(key, encoding=DER, form=SPKI):
    return key.public_key().public_bytes(encoding, form)


@pytest.fixture(scope="module")
def setting():
    """An agent that logs all it can, and what must not be found in its log and home: name -> bytes."""
    a = Agent()
    (a.home / "agent.conf").write_text("[log]\nlevel = debug\n")
    secrets = {}
    a.start()
    try:
        a.make_profile("shop", "sandbox", "SANDBOX_5Xshop", key=False)
        yield a, secrets
        look_for(secrets, a)
        a.stop()
        with sqlite3.connect(a.home / "registry.db") as db:
            assert db.execute("SELECT count(*) FROM key_intent").fetchone() == (0,)
            assert db.execute("SELECT count(*) FROM merchant_key WHERE profile_id IN "
                              "(SELECT id FROM profile WHERE name = 'shop/sandbox')").fetchone() == (0,)
        look_for(secrets, a)
    finally:
        a.remove()


def look_for(secrets, a):
    """No file of the home and no line of the log holds any of them, as bytes, base64 or hex."""
    for path in [a.log, *a.home.iterdir()]:
        if not path.is_file() or path.name == "root.seal":
            continue
        held = path.read_bytes()
        for name, value in secrets.items():
            for form in (value, value.hex().encode(), value.hex().upper().encode()):
                assert form not in held, f"{name} in {path.name}"
            for shift in range(3):  # however it lies among its neighbours
                text = base64.b64encode(value[shift:len(value) - (len(value) - shift) % 3])
                assert text[:40] not in held, f"{name} as base64 in {path.name}"


def keep_secret(secrets, name, key):
    for part, value in keycraft.secrets_of(key).items():
        secrets[f"{name}: {part}"] = value


@pytest.fixture(scope="module")
def key():
    return keycraft.rsa(2048)


# ---- what is taken


def lines(text, width=64):
    return b"\n".join(text[i:i + width] for i in range(0, len(text), width))


def bare(der):
    return base64.b64encode(der)


FORMS = {
    "bare PKCS#8": lambda k: bare(private(k)),
    "bare PKCS#1": lambda k: bare(private(k, DER, PKCS1)),
    "PEM PKCS#8": lambda k: private(k, PEM),
    "PEM PKCS#1": lambda k: private(k, PEM, PKCS1),
    "PKCS#8 under RSA PRIVATE KEY": lambda k: keycraft.pem("RSA PRIVATE KEY", private(k)),
    "PKCS#1 under PRIVATE KEY": lambda k: keycraft.pem("PRIVATE KEY", private(k, DER, PKCS1)),
    "PEM PKCS#8, CRLF": lambda k: private(k, PEM).replace(b"\n", b"\r\n"),
    "PEM PKCS#1, CRLF": lambda k: private(k, PEM, PKCS1).replace(b"\n", b"\r\n"),
    "PEM without a last line end": lambda k: private(k, PEM).rstrip(),
    "PEM with blanks around": lambda k: b" \r\n\t\n" + private(k, PEM) + b"\n\n \t\r\n",
    "PEM in one line": lambda k: b"-----BEGIN PRIVATE KEY-----\n" + bare(private(k)) + b"\n-----END PRIVATE KEY-----",
    "bare in lines": lambda k: lines(bare(private(k))) + b"\n",
    "bare in CRLF lines": lambda k: lines(bare(private(k)), 76).replace(b"\n", b"\r\n") + b"\r\n",
    "bare with blanks around": lambda k: b"\n \t" + bare(private(k, DER, PKCS1)) + b" \r\n",
    "DER PKCS#8": lambda k: private(k),
    "DER PKCS#1": lambda k: private(k, DER, PKCS1),
}


def check_signs(a, profile, client_id, key, bits):
    """Two signatures, judged with the original's public half; the lengths are those of the modulus."""
    with Client(a.agent_sock, timeout=10 * SLOW) as client:
        for body in (b"", os.urandom(300)):
            got = client.call("sign_request", profile=profile, method="POST", uri=PAY, body=body)
            judge.judge_request(key.public_key(), "POST", SENT, client_id, got["headers"], body)
            raw, _ = judge.signature_of_header(got["headers"]["Signature"])
            assert len(raw) == bits // 8
            assert len(base64.b64encode(raw)) == BASE64_LEN[bits]


def take(a, key, given, *more, **options):
    """Import into a new profile; the key's row, after it has signed."""
    app = f"app{next(APPS)}"
    client_id = f"SANDBOX_5X{app}"
    profile = a.make_profile(app, "sandbox", client_id, key=False)
    row = a.ctl("key", "import", profile, *more, input=given, **options)
    assert row["version"] == 1 and row["state"] == "active" and row["origin"] == "imported"
    assert row["bits"] == key.key_size and row["key_version"] == 1 and row["keyring"] == "soft"
    shown = a.ctl("key", "export", profile)
    assert shown["public_key"] == judge.spki(key)
    assert shown["fingerprint"] == row["fingerprint"]
    check_signs(a, profile, client_id, key, key.key_size)
    return row


@pytest.mark.parametrize("name", FORMS)
def test_form_is_taken(setting, key, name, tmp_path):
    a, secrets = setting
    keep_secret(secrets, "taken", key)
    given = FORMS[name](key)
    take(a, key, given)
    (tmp_path / "key").write_bytes(given)
    row = take(a, key, None, "--file", tmp_path / "key")
    assert "the same key stands in" in row["warning"]  # in another profile of the environment


@pytest.mark.parametrize("bits, e", [(2048, 3), (2048, 17), (2048, 4294967295), (3072, 65537), (3072, 3),
                                     (4096, 65537), (4096, 4294967295)])
def test_sizes_and_exponents(setting, bits, e, tmp_path):
    a, secrets = setting
    key = keycraft.rsa(bits, e)
    assert key.public_key().public_numbers().e == e
    keep_secret(secrets, f"{bits}/{e}", key)
    take(a, key, private(key, PEM))
    take(a, key, private(key, DER, PKCS1))
    take(a, key, bare(private(key)))


def test_primes_in_other_order_and_larger_d(setting, key):
    """Some tools write the smaller prime first, or d modulo (p-1)(q-1): the same key, well-formed."""
    a, _ = setting
    p = keycraft.parts_of(key)
    turned = {**p, "p": p["q"], "q": p["p"], "dp": p["dq"], "dq": p["dp"], "qinv": pow(p["p"], -1, p["q"])}
    other = pow(p["e"], -1, (p["p"] - 1) * (p["q"] - 1))
    take(a, key, keycraft.pkcs1(turned))
    take(a, key, keycraft.pkcs8(keycraft.pkcs1({**p, "d": other})))


ENCRYPTED = {
    "AES-256, PBKDF2": ["-v2", "aes-256-cbc"],
    "AES-128, PBKDF2 with SHA-1": ["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"],
    "scrypt": ["-scrypt"],
    "100,000 iterations": ["-v2", "aes-256-cbc", "-iter", "100000"],
    "3DES, PKCS#12 scheme": ["-v1", "PBE-SHA1-3DES"],
}


def encrypt(key, options, form="PEM"):
    return keycraft.openssl("pkcs8", "-topk8", "-passout", f"pass:{PASSPHRASE}", "-outform", form, *options,
                            input=private(key, PEM))


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted(setting, key, name, line_end, tmp_path):
    a, secrets = setting
    secrets["passphrase"] = PASSPHRASE.encode()
    (tmp_path / "passphrase").write_bytes(PASSPHRASE.encode() + line_end)
    form = "DER" if line_end == b"\n" else "PEM"
    take(a, key, encrypt(key, ENCRYPTED[name], form), "--passphrase-file", tmp_path / "passphrase")


def test_key_version_is_set(setting, key):
    a, _ = setting
    profile = a.make_profile("versioned", "sandbox", key=False)
    row = a.ctl("key", "import", profile, "--key-version", 7, input=private(key))
    assert row["key_version"] == 7
    with Client(a.agent_sock) as client:
        got = client.call("sign_request", profile=profile, method="POST", uri=PAY, body=b"x")
    assert judge.signature_of_header(got["headers"]["Signature"])[1] == 7 == got["key_version"]


# ---- what is refused


def refuse(a, name, given, *more, **options):
    """The message; and the key list is what it was."""
    before = a.ctl("key", "list", "shop/sandbox")
    said = a.refused(name, "key", "import", "shop/sandbox", *more, input=given, **options)
    assert a.ctl("key", "list", "shop/sandbox") == before
    return said


def inconsistent(p):
    """name -> the numbers of a key whose parts do not belong together, each wrong in one way."""
    other = keycraft.parts_of(keycraft.rsa(2048))
    order = (p["p"] - 1) * (p["q"] - 1)
    return {
        "another modulus": {**p, "n": other["n"]},
        "modulus plus 2": {**p, "n": p["n"] + 2},
        "first prime of another": {**p, "p": other["p"]},
        "second prime of another": {**p, "q": other["q"]},
        "primes turned, the rest not": {**p, "p": p["q"], "q": p["p"]},
        "one prime is the modulus": {**p, "p": p["n"], "q": 1},
        "both primes the same": {**p, "q": p["p"], "dq": p["dp"]},
        "d of another": {**p, "d": other["d"]},
        "d plus 2": {**p, "d": p["d"] + 2},
        "d is 1": {**p, "d": 1},
        "d as large as the modulus": {**p, "d": p["d"] + order},
        "dp of another": {**p, "dp": other["dp"]},
        "dp plus 1": {**p, "dp": p["dp"] + 1},
        "dp and dq turned": {**p, "dp": p["dq"], "dq": p["dp"]},
        "dq plus p": {**p, "dq": p["dq"] + p["q"] - 1},
        "dq of another": {**p, "dq": other["dq"]},
        "qinv of another": {**p, "qinv": other["qinv"]},
        "qinv plus 1": {**p, "qinv": p["qinv"] + 1},
        "qinv plus p": {**p, "qinv": p["qinv"] + p["p"]},
        "dp zero": {**p, "dp": 0},
        "dq zero": {**p, "dq": 0},
        "qinv zero": {**p, "qinv": 0},
        "all CRT parts zero": {**p, "p": 0, "q": 0, "dp": 0, "dq": 0, "qinv": 0},
        "d zero": {**p, "d": 0},
        "another exponent": {**p, "e": 3},
    }


WRONG_PARTS = list(inconsistent({name: 5 for name in keycraft.PARTS}))


@pytest.fixture(scope="module")
def wrong(key):
    return inconsistent(keycraft.parts_of(key))


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_parts_that_disagree(setting, wrong, name):
    a, secrets = setting
    parts = wrong[name]
    refuse(a, "KEY_INCONSISTENT", keycraft.pkcs1(parts))
    refuse(a, "KEY_INCONSISTENT", keycraft.pem("PRIVATE KEY", keycraft.pkcs8(keycraft.pkcs1(parts))))
    for part, value in keycraft.secrets_of(parts).items():
        if len(value) > 64 and parts[part] != parts["n"]:
            secrets[f"{name}: {part}"] = value


def test_composite_prime(setting):
    """A first "prime" that is the product of two: all the numbers fit, only a test for primes can tell."""
    a, _ = setting
    e, parts = 65537, {"n": 0}
    while parts["n"].bit_length() != 2048:
        p, q = keycraft.rsa(1024).public_key().public_numbers().n, keycraft.parts_of(keycraft.rsa(2048))["p"]
        order = math.lcm(p - 1, q - 1)
        if math.gcd(e, order) == 1:
            d = pow(e, -1, order)
            parts = {"n": p * q, "e": e, "d": d, "p": p, "q": q, "dp": d % (p - 1), "dq": d % (q - 1),
                     "qinv": pow(q, -1, p)}
    refuse(a, "KEY_INCONSISTENT", keycraft.pkcs1(parts))


SIZES = [512, 1024, 1536, 2047, 2050, 2056, 2560]


@pytest.mark.parametrize("bits", SIZES)
def test_sizes_refused(setting, bits):
    a, secrets = setting
    key = keycraft.rsa(bits)
    keep_secret(secrets, f"{bits} bits", key)
    for given in (private(key, PEM), bare(private(key, DER, PKCS1))):
        said = refuse(a, "KEY_SIZE", given)
        assert str(bits) in said and "2048, 3072" in said


@pytest.mark.parametrize("bits", [8192, 16384, 120000])
def test_huge_modulus_is_refused_before_any_arithmetic(setting, bits):
    """The opener looks at the size first: checking these numbers would take minutes."""
    a, _ = setting
    number = (1 << (bits - 1)) | int.from_bytes(os.urandom(bits // 8 - 1), "big") | 1
    half = number >> (bits // 2) | 1
    parts = {"n": number, "e": 65537, "d": number - 2, "p": half, "q": half + 2, "dp": half - 2, "dq": half - 4,
             "qinv": half - 6}
    if bits > 100000:  # it must fit 64 KiB
        parts.update(d=3, p=3, q=3, dp=3, dq=3, qinv=3)
    given = keycraft.pkcs1(parts)
    assert len(given) < 64 * 1024
    started = time.monotonic()
    refuse(a, "KEY_SIZE", given)
    assert time.monotonic() - started < 5 * SLOW


@pytest.mark.parametrize("e", [0, 1, 2, 4, 65536, 4294967294, 4294967296, 4294967297, 4294967299, (1 << 64) + 13,
                               (1 << 2047) + 1])
def test_exponents_refused(setting, key, e):
    a, _ = setting
    parts = keycraft.parts_of(key)
    try:
        parts = keycraft.with_exponent(parts, e)
    except ValueError:  # an even one, say, has no inverse
        parts = {**parts, "e": e}
    said = refuse(a, "KEY_EXPONENT", keycraft.pkcs8(keycraft.pkcs1(parts)))
    assert "odd" in said and "4294967295" in said


def other_types():
    """name -> (status, bytes)"""
    ec = keycraft.generate("EC", "ec_paramgen_curve:P-256")
    small_dsa = dsa.generate_private_key(1024)
    ec_own = keycraft.openssl("ec", "-inform", "DER", input=ec)
    return {
        "EC PKCS#8": ("KEY_TYPE", keycraft.pem("PRIVATE KEY", ec)),
        "EC bare": ("KEY_TYPE", bare(ec)),
        "EC in its own form": ("KEY_TYPE", ec_own),
        "EC in its own form, DER": ("KEY_TYPE", keycraft.openssl("ec", "-outform", "DER", input=ec_own)),
        "Ed25519": ("KEY_TYPE", keycraft.pem("PRIVATE KEY", keycraft.generate("ED25519"))),
        "Ed448": ("KEY_TYPE", bare(keycraft.generate("ED448"))),
        "X25519": ("KEY_TYPE", keycraft.generate("X25519")),
        "RSA-PSS": ("KEY_TYPE", keycraft.pem("PRIVATE KEY", keycraft.generate("RSA-PSS"))),
        "DSA PKCS#8": ("KEY_TYPE", private(small_dsa, PEM)),
        "DSA in its own form": ("KEY_TYPE", private(small_dsa, PEM, PKCS1)),
        "DSA in its own form, DER": ("KEY_TYPE", private(small_dsa, DER, PKCS1)),
    }


OTHER_TYPES = ["EC PKCS#8", "EC bare", "EC in its own form", "EC in its own form, DER", "Ed25519", "Ed448", "X25519",
               "RSA-PSS", "DSA PKCS#8", "DSA in its own form", "DSA in its own form, DER"]


@pytest.fixture(scope="module")
def others():
    return other_types()


@pytest.mark.parametrize("name", OTHER_TYPES)
def test_other_types(setting, others, name):
    a, _ = setting
    status, given = others[name]
    refuse(a, status, given)


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    now = datetime.datetime(2026, 1, 1)
    return x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()) \
        .serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9)) \
        .sign(key, hashes.SHA256())


def multi_prime():
    return keycraft.generate("RSA", "rsa_keygen_bits:2048", "rsa_keygen_primes:3")


def inner(parts, where, value):
    """PKCS#1 with one number given as DER."""
    return keycraft.sequence(keycraft.integer(0), *[value if n == where else keycraft.integer(parts[n])
                                                    for n in keycraft.PARTS])


REFUSED = {
    "multi-prime PKCS#8": ("KEY_MULTIPRIME", lambda k: keycraft.pem("PRIVATE KEY", multi_prime())),
    "multi-prime PKCS#1": ("KEY_MULTIPRIME", lambda k: keycraft.openssl("rsa", "-traditional", input=keycraft.pem(
        "PRIVATE KEY", multi_prime()))),
    "version 1, two primes": ("KEY_MULTIPRIME", lambda k: keycraft.pkcs1(keycraft.parts_of(k), version=1)),
    "version 2": ("KEY_FORM", lambda k: keycraft.pkcs1(keycraft.parts_of(k), version=2)),
    "other primes, empty": ("KEY_MULTIPRIME", lambda k: keycraft.pkcs1(keycraft.parts_of(k), more=keycraft.sequence())),
    "public PEM": ("KEY_IS_PUBLIC", lambda k: public(k, PEM)),
    "public bare": ("KEY_IS_PUBLIC", lambda k: bare(public(k))),
    "public DER": ("KEY_IS_PUBLIC", lambda k: public(k)),
    "public PKCS#1": ("KEY_IS_PUBLIC", lambda k: public(k, PEM, PKCS1_PUBLIC)),
    "public under PRIVATE KEY": ("KEY_IS_PUBLIC", lambda k: keycraft.pem("PRIVATE KEY", public(k))),
    "public of EC": ("KEY_IS_PUBLIC", lambda k: keycraft.openssl("pkey", "-inform", "DER", "-pubout",
                                                                 input=keycraft.generate("ED25519"))),
    "certificate": ("KEY_FORM", lambda k: certificate(k).public_bytes(PEM)),
    "certificate DER": ("KEY_FORM", lambda k: certificate(k).public_bytes(DER)),
    "one byte behind the DER": ("KEY_TRAILING", lambda k: private(k) + b"\0"),
    "line feed behind the DER": ("KEY_TRAILING", lambda k: private(k) + b"\n"),
    "a second key behind the DER": ("KEY_TRAILING", lambda k: private(k) * 2),
    "bytes behind, bare": ("KEY_TRAILING", lambda k: bare(private(k, DER, PKCS1) + b"xyz")),
    "bytes behind, PEM": ("KEY_TRAILING", lambda k: keycraft.pem("PRIVATE KEY", private(k) + b"\x05\0")),
    "bytes behind the inner key": ("KEY_TRAILING", lambda k: keycraft.pkcs8(private(k, DER, PKCS1) + b"\5\0")),
    "a second PEM block": ("KEY_TRAILING", lambda k: private(k, PEM) * 2),
    "key and its public half": ("KEY_TRAILING", lambda k: private(k, PEM) + public(k, PEM)),
    "text behind the END line": ("KEY_TRAILING", lambda k: private(k, PEM) + b"from the vault\n"),
    "text before the BEGIN line": ("KEY_FORM", lambda k: b"Bag Attributes\n" + private(k, PEM)),
    "no END line": ("KEY_FORM", lambda k: private(k, PEM).split(b"-----END")[0]),
    "another END line": ("KEY_FORM", lambda k: private(k, PEM).replace(b"END PRIVATE", b"END PUBLIC")),
    "cut DER": ("KEY_FORM", lambda k: private(k)[:-1]),
    "cut base64": ("KEY_FORM", lambda k: bare(private(k))[:-1]),
    "cut by four characters": ("KEY_FORM", lambda k: bare(private(k))[:-4]),
    "base64url": ("KEY_FORM", lambda k: base64.urlsafe_b64encode(b"\xfb\xff" + private(k))),
    "a star in it": ("KEY_FORM", lambda k: bare(private(k))[:100] + b"*" + bare(private(k))[101:]),
    "a NUL in it": ("KEY_FORM", lambda k: bare(private(k))[:100] + b"\0" + bare(private(k))[100:]),
    "hex": ("KEY_FORM", lambda k: private(k).hex().encode() + b"g"),
    "JSON": ("KEY_FORM", lambda k: b'{"privateKey": "' + bare(private(k)) + b'"}'),
    "quoted": ("KEY_FORM", lambda k: b'"' + bare(private(k)) + b'"'),
    "UTF-16": ("KEY_FORM", lambda k: private(k, PEM).decode().encode("utf-16")),
    "byte order mark": ("KEY_FORM", lambda k: b"\xef\xbb\xbf" + private(k, PEM)),
    "blanks only": ("KEY_FORM", lambda k: b" \r\n\t\n"),
    "a word": ("KEY_FORM", lambda k: b"key\n"),
    "binary": ("KEY_FORM", lambda k: bytes(range(256)) * 8),
    "binary that begins like DER": ("KEY_FORM", lambda k: b"\x30\x82\x04\xa4" + bytes(range(256)) * 4),
    "64 KiB of zero": ("KEY_FORM", lambda k: bytes(65536)),
    "64 KiB of text": ("KEY_FORM", lambda k: b"A" * 65536),
    "indefinite length": ("KEY_FORM", lambda k: b"\x30\x80" + private(k)[4:] + b"\0\0"),
    "negative number": ("KEY_FORM", lambda k: inner(keycraft.parts_of(k), "d", keycraft.tlv(2, b"\xff" * 256))),
    "number not in shortest form": ("KEY_FORM", lambda k: inner(keycraft.parts_of(k), "e",
                                                                keycraft.tlv(2, b"\0\1\0\1"))),
    "seven numbers": ("KEY_FORM", lambda k: keycraft.pkcs8(keycraft.sequence(keycraft.integer(0), *[
        keycraft.integer(keycraft.parts_of(k)[n]) for n in keycraft.PARTS[:-1]]))),
    "an SSH key": ("KEY_FORM", lambda k: k.private_bytes(PEM, serialization.PrivateFormat.OpenSSH,
                                                         serialization.NoEncryption())),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(setting, key, name):
    a, secrets = setting
    keep_secret(secrets, "refused", key)
    status, make = REFUSED[name]
    refuse(a, status, make(key))


def test_empty_and_too_long_files(setting, tmp_path):
    """antomctl says so itself, before it asks the agent."""
    a, _ = setting
    refuse(a, "BAD_PARAM", b"")
    (tmp_path / "empty").write_bytes(b"")
    refuse(a, "BAD_PARAM", None, "--file", tmp_path / "empty")
    said = refuse(a, "BAD_PARAM", bytes(65537))
    assert "65536" in said
    (tmp_path / "long").write_bytes(b"A" * 65537)
    assert "65536" in refuse(a, "BAD_PARAM", None, "--file", tmp_path / "long")
    refuse(a, "BAD_PARAM", None, "--file", tmp_path / "none")
    refuse(a, "BAD_PARAM", None, "--file", tmp_path)


def test_encrypted_without_passphrase(setting, key):
    a, _ = setting
    for given in (encrypt(key, ENCRYPTED["AES-256, PBKDF2"]), encrypt(key, ENCRYPTED["scrypt"], "DER")):
        said = refuse(a, "KEY_ENCRYPTED", given)
        assert "passphrase" in said


@pytest.mark.parametrize("name", ENCRYPTED)
def test_wrong_passphrase(setting, key, name, tmp_path):
    """One in 256 of them leaves a padding that looks right, so several are tried."""
    a, secrets = setting
    given = encrypt(key, ENCRYPTED[name])
    for wrong in (PASSPHRASE + " ", PASSPHRASE[:-1], "x", "0123456789" * 10):
        (tmp_path / "passphrase").write_text(wrong)
        refuse(a, "WRONG_PASSPHRASE", given, "--passphrase-file", tmp_path / "passphrase")
        if len(wrong) > 8:
            secrets[f"wrong passphrase {wrong[-8:]!r}"] = wrong.encode()


def test_old_pem_encryption(setting, key, tmp_path):
    """Encryption by PEM headers (MD5, one round) is not taken; the message says what to do."""
    a, _ = setting
    given = private(key, PEM, PKCS1, PASSPHRASE)
    assert b"Proc-Type" in given
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    assert "openssl pkcs8" in refuse(a, "KEY_ENCRYPTED", given)
    assert "openssl pkcs8" in refuse(a, "KEY_FORM", given, "--passphrase-file", tmp_path / "passphrase")


@pytest.mark.parametrize("options", [["-iter", "50000000"], ["-scrypt", "-scrypt_N", "1048576"]])
def test_costly_passphrase_is_refused_untried(setting, key, options, tmp_path):
    a, _ = setting
    given = bytearray(encrypt(key, [*options[:1], "1000"] if options[0] == "-iter" else ["-scrypt"], "DER"))
    if options[0] == "-iter":
        at = given.index(bytes.fromhex("020203e8"))
        given[at:at + 4] = bytes.fromhex("02027fff")
        given = grow(bytes(given), at, bytes.fromhex("02027fff"), bytes.fromhex("020402faf080"))
    else:
        at = given.index(bytes.fromhex("02024000"))
        given = grow(bytes(given), at, bytes.fromhex("02024000"), bytes.fromhex("020410000000"))
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    started = time.monotonic()
    assert "costs too much" in refuse(a, "KEY_FORM", given, "--passphrase-file", tmp_path / "passphrase")
    assert time.monotonic() - started < 5 * SLOW


def grow(der, at, old, new):
    """DER with the value at `at` replaced by a longer one: the lengths of all that holds it grow too."""
    def walk(data, base):
        out, pos = b"", 0
        while pos < len(data):
            tag, size, head = data[pos], data[pos + 1], 2
            if size & 0x80:
                head += size & 0x7f
                size = int.from_bytes(data[pos + 2:pos + head], "big")
            body, start = data[pos + head:pos + head + size], base + pos
            if start == at:
                out += new
            elif start < at < start + head + size:
                out += keycraft.tlv(tag, walk(body, start + head))
            else:
                out += data[pos:pos + head + size]
            pos += head + size
        return out
    assert der[at:at + len(old)][:2] == old[:2]
    return walk(der, 0)


# ---- Antom's key, which is public

PUBLIC_FORMS = {
    "bare": lambda k: judge.spki(k).encode(),
    "bare with a line end": lambda k: judge.spki(k).encode() + b"\r\n",
    "bare in lines": lambda k: lines(judge.spki(k).encode(), 76),
    "PEM": lambda k: public(k, PEM),
    "PEM, CRLF": lambda k: public(k, PEM).replace(b"\n", b"\r\n"),
    "PEM PKCS#1": lambda k: public(k, PEM, PKCS1_PUBLIC),
    "DER": lambda k: public(k),
    "DER PKCS#1": lambda k: public(k, DER, PKCS1_PUBLIC),
    "under RSA PUBLIC KEY": lambda k: keycraft.pem("RSA PUBLIC KEY", public(k)),
}


@pytest.mark.parametrize("name", PUBLIC_FORMS)
def test_antom_key_form_is_taken(setting, antom_key, name):
    a, _ = setting
    app = f"app{next(APPS)}"
    profile = a.make_profile(app, "sandbox", key=False)
    row = a.ctl("antom-key", "add", profile, input=PUBLIC_FORMS[name](antom_key))
    assert (row["version"], row["state"], row["bits"]) == (1, "active", 2048)
    headers = judge.response(antom_key, SENT, f"SANDBOX_5X{app}", b"{}")
    with Client(a.agent_sock) as client:
        assert client.call("verify_response", profile=profile, method="POST", uri=PAY, headers=headers,
                           body=b"{}")["version"] == 1


@pytest.mark.parametrize("bits, e", [(3072, 3), (4096, 4294967295)])
def test_antom_key_sizes(setting, bits, e):
    a, _ = setting
    key, app = keycraft.rsa(bits, e), f"app{next(APPS)}"
    profile = a.make_profile(app, "sandbox", key=False, antom_key=judge.spki(key))
    with Client(a.agent_sock) as client:
        assert client.call("verify_response", profile=profile, method="POST", uri=PAY, body=b"x",
                           headers=judge.response(key, SENT, f"SANDBOX_5X{app}", b"x"))["version"] == 1


ANTOM_REFUSED = {
    "private PKCS#8": ("KEY_IS_PRIVATE", lambda k: private(k, PEM)),
    "private PKCS#1": ("KEY_IS_PRIVATE", lambda k: private(k, PEM, PKCS1)),
    "private bare": ("KEY_IS_PRIVATE", lambda k: bare(private(k))),
    "private DER": ("KEY_IS_PRIVATE", lambda k: private(k)),
    "private encrypted": ("KEY_IS_PRIVATE", lambda k: encrypt(k, ENCRYPTED["scrypt"])),
    "certificate": ("KEY_FORM", lambda k: certificate(k).public_bytes(PEM)),
    "Ed25519": ("KEY_TYPE", lambda k: keycraft.openssl("pkey", "-inform", "DER", "-pubout",
                                                       input=keycraft.generate("ED25519"))),
    "EC": ("KEY_TYPE", lambda k: keycraft.openssl("pkey", "-inform", "DER", "-pubout", input=keycraft.generate(
        "EC", "ec_paramgen_curve:P-256"))),
    "RSA-PSS": ("KEY_TYPE", lambda k: keycraft.openssl("pkey", "-inform", "DER", "-pubout",
                                                       input=keycraft.generate("RSA-PSS"))),
    "1024 bits": ("KEY_SIZE", lambda k: public(keycraft.rsa(1024), PEM)),
    "2056 bits": ("KEY_SIZE", lambda k: public(keycraft.rsa(2056), PEM)),
    "8192 bits": ("KEY_SIZE", lambda k: keycraft.spki((1 << 8191) + 1, 65537)),
    "exponent 1": ("KEY_EXPONENT", lambda k: keycraft.spki(keycraft.parts_of(k)["n"], 1)),
    "even exponent": ("KEY_EXPONENT", lambda k: keycraft.spki(keycraft.parts_of(k)["n"], 65536)),
    "exponent over 32 bits": ("KEY_EXPONENT", lambda k: keycraft.spki(keycraft.parts_of(k)["n"], (1 << 32) + 1)),
    "trailing byte": ("KEY_TRAILING", lambda k: public(k) + b"\0"),
    "trailing byte, bare": ("KEY_TRAILING", lambda k: bare(public(k) + b"\0")),
    "two keys": ("KEY_TRAILING", lambda k: public(k, PEM) * 2),
    "cut": ("KEY_FORM", lambda k: public(k)[:-1]),
    "blanks": ("KEY_FORM", lambda k: b"\n\n"),
    "binary": ("KEY_FORM", lambda k: bytes(range(256))),
    "64 KiB": ("KEY_FORM", lambda k: b"M" * 65536),
}


@pytest.mark.parametrize("name", ANTOM_REFUSED)
def test_antom_key_refused(setting, key, name):
    a, _ = setting
    status, make = ANTOM_REFUSED[name]
    a.refused(status, "antom-key", "add", "shop/sandbox", input=make(key))
    assert a.ctl("antom-key", "list", "shop/sandbox") == {"antom_keys": []}


def test_private_key_pasted_as_public_is_not_logged(setting, key):
    a, secrets = setting
    keep_secret(secrets, "pasted in the wrong place", key)
    said = a.refused("KEY_IS_PRIVATE", "antom-key", "add", "shop/sandbox", input=private(key, PEM))
    assert "private" in said
    look_for(secrets, a)


def test_nothing_stays_of_the_openers(setting):
    """Each lived for its one task."""
    a, _ = setting
    end = time.monotonic() + 20 * SLOW  # the last one may be ending still
    while openers := [r for r in a.roles() if r["role"] == "opener"]:
        assert time.monotonic() < end, openers
        time.sleep(0.02)
    for entry in pathlib.Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1] if command else ""
        except OSError:
            continue
        assert not (b"opener" in command and int(parent) == a.process.pid), "an opener goes on"
