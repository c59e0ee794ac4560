"""Signatures by Python, one after the other.   bench.py agent SOCKET PROFILE MS | parse|kept KEYFILE CLIENT_ID MS
parse: as Antom's SDK does it, with the private key read for every call; kept: with a key object. Prints one JSON object."""
import base64
import json
import sys
import time
import urllib.parse

BODY = b'{"paymentRequestId":"' + b"x" * 277 + b'"}'
PAY = "/ams/api/v1/payments/pay"


def by_agent(socket, profile):
    from antomagent import Client
    client = Client(socket)
    return lambda: client.sign_request(profile, "POST", PAY, BODY)


def in_process(mode, path, client_id):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding
    text = open(path).read()

    def load():
        return serialization.load_der_private_key(base64.b64decode(text), None)

    kept = load()

    def sign():
        now = str(int(time.time() * 1000))
        key = load() if mode == "parse" else kept
        raw = key.sign(b"POST " + PAY.encode() + b"\n" + client_id.encode() + b"." + now.encode() + b"." + BODY,
                       padding.PKCS1v15(), hashes.SHA256())
        value = urllib.parse.quote(base64.b64encode(raw).decode(), safe="")
        return {"Client-Id": client_id, "Request-Time": now, "Signature": f"algorithm=RSA256,keyVersion=1,signature={value}"}

    return sign


def measure(sign, ms):
    for _ in range(20):
        sign()
    spent, end = [], time.perf_counter() + ms / 1000
    begin = time.perf_counter()
    while (now := time.perf_counter()) < end:
        sign()
        spent.append(time.perf_counter() - now)
    total = time.perf_counter() - begin
    spent.sort()
    print(json.dumps({"rate": len(spent) / total, "p50_us": spent[len(spent) // 2] * 1e6, "p99_us": spent[len(spent) * 99 // 100] * 1e6}))


mode = sys.argv[1]
measure(by_agent(*sys.argv[2:4]) if mode == "agent" else in_process(mode, *sys.argv[2:4]), float(sys.argv[4]))
