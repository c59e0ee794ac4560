"""A false Antom over HTTPS, with the judge's cryptography: per client id it knows which public keys it accepts from when,
answers unsigned errors as the gateway does, signs what it accepts, sends notifications and repeats them, and may change
its own key, hang, answer garbage, or have a wrong certificate.

A replaced key is accepted by `mode`: "overlap" (the old one beside it), "replace" (in its place, at once) or "lag" (in its
place, `lag_s` later). Antom documents none of the three, so the agent must be right in each."""
import http.client
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse

import judge
from agent_fixture import SLOW
from antom_client import AntomError, Client
from mailserver import make_certificate

RETRY_GAPS_S = (0, 120, 600, 600, 3600, 7200, 21600, 54000)  # of notifications, as documented


class Held:
    """A public key of a merchant, accepted between two moments."""

    def __init__(self, public, since=0.0):
        self.public, self.since, self.until = public, since, float("inf")

    def holds(self, now):
        return self.since <= now < self.until


class FalseAntom:
    def __init__(self, folder, mode="overlap", lag_s=0.0, certificate="gateway"):
        self.mode, self.lag_s = mode, lag_s
        self.key = judge.new_key()
        self.keys = {}     # client id: [Held]
        self.calls = []    # (time, path, client id, code, index of the key that fitted or None)
        self.behave = None  # "hang", "garbage", "silent": instead of answering
        self.lock = threading.Lock()
        self.ca, key = make_certificate(folder, certificate)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca, key)
        self.server = Server(self)
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.behave = None
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # ---- the dashboard

    def register(self, client_id, public_key):
        """The first key of a client: accepted at once."""
        with self.lock:
            self.keys[client_id] = [Held(judge.load_public(public_key))]

    def replace(self, client_id, public_key):
        """The dashboard's "replace", confirmed by mail. When the new key is accepted from."""
        now = time.monotonic()
        start = now + (self.lag_s if self.mode == "lag" else 0)
        with self.lock:
            if self.mode != "overlap":
                for held in self.keys[client_id]:
                    held.until = min(held.until, start)
            self.keys[client_id].append(Held(judge.load_public(public_key), start))
        return start

    def restore(self, client_id, index):
        """An earlier key is pasted again."""
        with self.lock:
            held = self.keys[client_id][index]
            self.keys[client_id].append(Held(held.public, time.monotonic()))

    def drop(self, client_id, index):
        """The end of an overlap."""
        with self.lock:
            self.keys[client_id][index].until = time.monotonic()

    def new_own_key(self):
        self.key = judge.new_key()
        return judge.spki(self.key)

    @property
    def public_key(self):
        return judge.spki(self.key)

    # ---- the gateway

    def fitting(self, client_id, headers, path, body):
        """Code of the refusal or None, and which key fitted."""
        with self.lock:
            held = list(self.keys.get(client_id, []))
        if not held:
            return "KEY_NOT_FOUND", None
        try:
            raw, _ = judge.signature_of_header(headers.get("signature", ""))
        except (AssertionError, ValueError):
            return "INVALID_SIGNATURE", None
        text = judge.string_to_sign("POST", path, client_id, headers.get("request-time", ""), body)
        now = time.monotonic()
        for index, key in enumerate(held):
            if key.holds(now) and judge.is_signed(key.public, raw, text):
                return None, index
        return "INVALID_SIGNATURE", None

    def answer(self, path, headers, body):
        """Status, headers and body of the answer to a call."""
        client_id = headers.get("client-id", "")
        code, index = self.fitting(client_id, headers, path, body)
        with self.lock:
            self.calls.append((time.monotonic(), path, client_id, code, index))
        if code is not None:
            result = {"resultCode": code, "resultStatus": "F", "resultMessage": "the gateway says no"}
            return {}, json.dumps({"result": result}).encode()
        inquiry = path.endswith("/inquiryPayment")
        result = {"resultCode": "ORDER_NOT_EXIST" if inquiry else "SUCCESS", "resultStatus": "F" if inquiry else "S",
                  "resultMessage": "done"}
        said = json.dumps({"result": result}).encode()
        signed = judge.response(self.key, path, client_id, said)
        return signed, said

    def probes(self, index):
        """Calls of the agent itself that this key was accepted for."""
        with self.lock:
            return [c for c in self.calls if c[1].endswith("/inquiryPayment") and c[4] == index]

    # ---- notifications

    def notification(self, uri, client_id, body):
        """Headers of one that is sent to this URI."""
        return judge.response(self.key, uri, client_id, body, kind="request")

    def notify(self, url, client_id, body, speed=1.0, tries=8):
        """Sends it until HTTP 200 with SUCCESS comes back, as often and with the gaps (divided by `speed`) that Antom
        documents. How many tries it took; 0: none was taken."""
        parts = urllib.parse.urlsplit(url)
        for number, gap in enumerate(RETRY_GAPS_S[:tries], 1):
            time.sleep(gap / speed)
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10 * SLOW)
            try:
                headers = self.notification(parts.path, client_id, body)
                connection.request("POST", parts.path, body, {**headers, "Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read() or b"{}")
                if answer.status == 200 and said.get("result", {}).get("resultCode") == "SUCCESS":
                    return number
            except (OSError, ValueError, http.client.HTTPException):
                pass
            finally:
                connection.close()
        return 0


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, antom):
        self.antom = antom
        super().__init__(("127.0.0.1", 0), Handler)

    def finish_request(self, request, client_address):
        try:
            wrapped = self.antom.context.wrap_socket(request, server_side=True)
        except (ssl.SSLError, OSError):  # a client that does not trust the certificate
            return
        try:
            super().finish_request(wrapped, client_address)
        finally:
            wrapped.close()

    def handle_error(self, request, client_address):
        pass  # a client that went away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        antom = self.server.antom
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        while antom.behave == "hang":
            time.sleep(0.05)
        if antom.behave == "silent":
            self.close_connection = True
            return
        if antom.behave == "garbage":
            self.connection.sendall(b"\x00\xff not HTTP\r\n\r\n")
            self.close_connection = True
            return
        headers, said = antom.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)


class Shop(threading.Thread):
    """One payment service: signs by the agent, pays at Antom, verifies the answer by the agent, again and again."""

    def __init__(self, agent, antom, profile, pause_s=0.01):
        super().__init__(daemon=True)
        self.agent, self.antom, self.profile, self.pause_s = agent, antom, profile, pause_s
        self.paid, self.refused, self.lost = [], [], []  # (time, key version), (time, code), errors of the agent
        self.stopping = threading.Event()
        self.connection = None

    def send(self, path, headers, body):
        if self.connection is None:
            context = ssl.create_default_context(cafile=str(self.antom.ca))
            self.connection = http.client.HTTPSConnection("127.0.0.1", self.antom.port, context=context,
                                                          timeout=30 * SLOW)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        return dict(answer.getheaders()), answer.read()

    def pay(self, client, number):
        uri = "/ams/api/v1/payments/pay"
        body = json.dumps({"paymentRequestId": f"{id(self)}-{number}"}).encode()
        signed = client.call("sign_request", profile=self.profile, method="POST", uri=uri, body=body)
        headers, said = self.send(signed["uri"] if "uri" in signed else uri, signed["headers"], body)
        try:
            client.call("verify_response", profile=self.profile, method="POST", uri=uri, headers=headers, body=said)
        except AntomError as error:
            if error.name != "UNSIGNED":
                raise
            self.refused.append((time.monotonic(), json.loads(said)["result"]["resultCode"], signed["version"]))
            return
        self.paid.append((time.monotonic(), signed["version"]))

    def run(self):
        try:
            with Client(self.agent.agent_sock, timeout=30 * SLOW) as client:
                number = 0
                while not self.stopping.is_set():
                    number += 1
                    self.pay(client, number)
                    time.sleep(self.pause_s)
        except Exception as error:  # told by whoever ends it
            self.lost.append(error)


class Street:
    """Several shops, for a with block. A shop that the agent failed makes the block fail."""

    def __init__(self, agent, antom, profile, count=4):
        self.shops = [Shop(agent, antom, profile) for _ in range(count)]

    def __enter__(self):
        for shop in self.shops:
            shop.start()
        return self

    def __exit__(self, kind, *_):
        for shop in self.shops:
            shop.stopping.set()
        for shop in self.shops:
            shop.join(60 * SLOW)
            assert not shop.is_alive(), "a payment was never answered"
        assert kind or not self.lost, self.lost

    @property
    def paid(self):
        return sorted(p for s in self.shops for p in s.paid)

    @property
    def refused(self):
        return sorted(r for s in self.shops for r in s.refused)

    @property
    def lost(self):
        return [e for s in self.shops for e in s.lost]

