"""The judge: Antom's signing scheme written again from its public description, with Python's
`cryptography`, so that one mistake cannot agree with itself. Uses nothing of the project."""
import base64
import datetime
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def string_to_sign(method, uri, client_id, time, body):
    return method.encode() + b" " + uri.encode() + b"\n" + client_id.encode() + b"." + time.encode() + b"." + body


def new_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def spki(key):
    """Bare base64 of the X.509 public key, as the dashboard shows it."""
    public = key.public_key() if hasattr(key, "public_key") else key
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def load_public(text):
    return serialization.load_der_public_key(base64.b64decode(text))


def pkcs8(key):
    """Bare base64 of the PKCS#8 private key."""
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption())
    return base64.b64encode(der).decode()


def signature_of_header(header):
    """Raw signature of a Signature header in the form the agent writes; strict."""
    parts = header.split(",")
    assert len(parts) == 3, header
    assert parts[0] == "algorithm=RSA256", header
    assert parts[1].startswith("keyVersion="), header
    assert parts[2].startswith("signature="), header
    value = parts[2][len("signature="):]
    assert "+" not in value and "/" not in value and "=" not in value, "not percent-encoded"
    return base64.b64decode(urllib.parse.unquote(value), validate=True), int(parts[1][len("keyVersion="):])


def judge_request(public, method, uri, client_id, headers, body):
    """Raises unless `headers` sign exactly this request under `public`. Returns the key version."""
    raw, key_version = signature_of_header(headers["Signature"])
    assert headers["Client-Id"] == client_id
    text = string_to_sign(method, uri, client_id, headers["Request-Time"], body)
    public.verify(raw, text, padding.PKCS1v15(), hashes.SHA256())
    return key_version


def is_signed(public, raw, text):
    try:
        public.verify(raw, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def sign(key, method, uri, client_id, time, body):
    return key.sign(string_to_sign(method, uri, client_id, time, body), padding.PKCS1v15(), hashes.SHA256())


def header(raw, key_version=1, form="sdk"):
    value = urllib.parse.quote(base64.b64encode(raw).decode(), safe="")
    sep = ", " if form == "doc" else ","
    return sep.join(["algorithm=RSA256", f"keyVersion={key_version}", f"signature={value}"])


def now_iso(offset_s=0):
    """A Response-Time as Antom writes it: ISO 8601, whole seconds."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def response(key, uri, client_id, body, method="POST", time=None, kind="response"):
    """Headers of a signed response (or notification) as Antom would send it."""
    time = time or now_iso()
    raw = sign(key, method, uri, client_id, time, body)
    time_name = "response-time" if kind == "response" else "Request-Time"
    return {"client-id": client_id, time_name: time, "signature": header(raw)}
