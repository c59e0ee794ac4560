"""Keys that no tool makes: private keys written in DER by hand, so that each part can be wrong, and keys
of every kind and size from the openssl tool."""
import base64
import math
import subprocess

from cryptography.hazmat.primitives.serialization import load_der_private_key

RSA_OID = bytes.fromhex("06092a864886f70d010101")
PARTS = ["n", "e", "d", "p", "q", "dp", "dq", "qinv"]


def tlv(tag, body):
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    head = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(head)]) + head + body


def integer(value):
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def sequence(*values):
    return tlv(0x30, b"".join(values))


def pkcs1(parts, version=0, more=b""):
    """RSAPrivateKey of RFC 8017 from a map of its eight numbers."""
    return sequence(integer(version), *[integer(parts[name]) for name in PARTS], more)


def pkcs8(inner):
    return sequence(integer(0), sequence(RSA_OID, bytes.fromhex("0500")), tlv(4, inner))


def spki(n, e):
    return sequence(sequence(RSA_OID, bytes.fromhex("0500")), tlv(3, b"\0" + sequence(integer(n), integer(e))))


def parts_of(key):
    """The eight numbers of a key of `cryptography`."""
    own = key.private_numbers()
    return {"n": own.public_numbers.n, "e": own.public_numbers.e, "d": own.d, "p": own.p, "q": own.q,
            "dp": own.dmp1, "dq": own.dmq1, "qinv": own.iqmp}


def with_exponent(parts, e):
    """The same primes with the exponent e, everything computed anew; e must have an inverse."""
    order = math.lcm(parts["p"] - 1, parts["q"] - 1)
    d = pow(e, -1, order)
    return {**parts, "e": e, "d": d, "dp": d % (parts["p"] - 1), "dq": d % (parts["q"] - 1)}


def pem(label, der, end="\n"):
    text = base64.b64encode(der).decode()
    lines = [f"-----BEGIN {label}-----", *[text[i:i + 64] for i in range(0, len(text), 64)],
             f"-----END {label}-----", ""]
    return end.join(lines).encode()


def openssl(*args, input=None):
    return subprocess.run(["openssl", *args], input=input, capture_output=True, check=True).stdout


def generate(algorithm, *options):
    """PKCS#8 DER of a fresh key."""
    more = [word for option in options for word in ("-pkeyopt", option)]
    return openssl("genpkey", "-quiet", "-algorithm", algorithm, *more, "-outform", "DER")


def rsa(bits, e=65537):
    """A key of `cryptography` with any exponent (not of 2049 bits: the tool makes 2048 of them)."""
    key = load_der_private_key(generate("RSA", f"rsa_keygen_bits:{bits}", f"rsa_keygen_pubexp:{e}"), None)
    assert key.key_size == bits
    return key


def secrets_of(key):
    """name -> what must stand nowhere but sealed: the private numbers as bytes."""
    parts = parts_of(key) if hasattr(key, "private_numbers") else key
    return {name: parts[name].to_bytes((parts[name].bit_length() + 7) // 8, "big")
            for name in ("d", "p", "q", "dp", "dq", "qinv")}
