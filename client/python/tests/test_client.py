"""The client beside a small agent of its own: forms, errors, threads, forks, and the SDK's seam. What all clients do alike is in
the conformance suite."""
import asyncio
import http.server
import os
import socket
import struct
import threading
import types

import msgpack
import pytest

import antomagent
import antomagent.sdk
from antomagent import AntomError, AsyncClient, Client

SIGNED = {"headers": {"Client-Id": "5Y", "Request-Time": "1", "Signature": "algorithm=RSA256,keyVersion=3,signature=abc",
                      "Content-Type": "application/json; charset=UTF-8"},
          "uri": "/ams/api/v1/payments/pay", "version": 1, "key_version": 3, "record": "soft:1"}


class Agent:
    """`script(method, params)` gives a result, or raises an error map."""

    def __init__(self, folder, script):
        self.path, self.script, self.connections, self.asked = str(folder / "agent.sock"), script, 0, []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with s, s.makefile("rb") as f:
            while head := f.read(4):
                _, ident, method, params = msgpack.unpackb(f.read(struct.unpack(">I", head)[0]))
                self.asked.append((method, params))
                try:
                    answer = [1, ident, None, {} if method == "hello" else self.script(method, params)]
                except KeyError as e:
                    answer = [1, ident, e.args[0], None]
                data = msgpack.packb(answer)
                s.sendall(struct.pack(">I", len(data)) + data)


@pytest.fixture
def agent(tmp_path):
    a = Agent(tmp_path, lambda method, params: {**SIGNED, "uri": params.get("uri", "")} if method == "sign_request" else
              {"version": 1, "time": "2", "age_ms": 0})
    yield a
    a.sock.close()


@pytest.mark.parametrize("body", ["text", None, 7, [1], {"a": 1}])
def test_bodies_are_bytes(agent, body):
    with Client(agent.path) as c, pytest.raises(AntomError) as e:
        c.sign_request("shop/live", "POST", "/", body)
    assert (e.value.name, e.value.field) == ("BAD_PARAM", "body") and type(body).__name__ in e.value.message
    assert agent.asked == []


def test_kinds_of_bytes_and_headers(agent):
    with Client(agent.path) as c:
        for body in (b"x", bytearray(b"x"), memoryview(b"x")):
            assert c.sign_request("shop/live", "POST", "/a", body).uri == "/a"
        c.verify_response("shop/live", "POST", "/", [("Signature", "a"), ("X", "1"), ("X", "2")], b"")
        assert agent.asked[-1][1]["headers"] == {"Signature": "a", "X": ["1", "2"]}
        c.verify_response("shop/live", "POST", "/", None, b"")
        assert agent.asked[-1][1]["headers"] == {}


def test_an_error_says_all_of_it(agent):
    agent.script = lambda *_: (_ for _ in ()).throw(KeyError({"code": 104, "name": "BAD_PARAM", "class": "caller", "message": "m", "field": "uri"}))
    with Client(agent.path) as c, pytest.raises(AntomError) as e:
        c.sign_request("shop/live", "POST", "/", b"")
    assert (e.value.code, e.value.error_class, e.value.field, e.value.is_worth_repeating, str(e.value)) == \
        (104, "caller", "uri", False, "BAD_PARAM: m")


def test_what_is_too_large_or_cannot_be_sent(agent):
    with Client(agent.path) as c:
        for body, more in ((bytes(2 << 20), {}), (b"", {"trace": object()})):
            with pytest.raises(AntomError) as e:
                c.sign_request("shop/live", "POST", "/", body, **more)
            assert e.value.name == "BAD_PARAM"
        assert c.sign_request("shop/live", "POST", "/", b"").version == 1


def test_threads_have_connections_of_their_own_and_use_them_again(agent):
    go = threading.Barrier(4)
    agent.script = lambda method, params: (go.wait(10), SIGNED)[1]
    with Client(agent.path) as c:
        for _ in range(3):
            threads = [threading.Thread(target=c.sign_request, args=("shop/live", "POST", "/", b"")) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        assert agent.connections == 4


def test_a_fork_connects_anew(agent):
    """Two processes on one connection would read each other's answers."""
    with Client(agent.path) as c:
        c.sign_request("shop/live", "POST", "/", b"")
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if c.sign_request("shop/live", "POST", "/child", b"").uri == "/child" else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert agent.connections == 2
        assert c.sign_request("shop/live", "POST", "/parent", b"").uri == "/parent"
        assert agent.connections == 2


def test_the_path_of_the_environment(agent, monkeypatch):
    monkeypatch.setenv("ANTOM_AGENT_SOCKET", agent.path)
    with Client() as c:
        assert c.sign_request("shop/live", "POST", "/", b"").key_version == 3


def test_asyncio_shares_one_connection(agent):
    async def run():
        async with AsyncClient(agent.path) as c:
            return await asyncio.gather(*(c.sign_request("shop/live", "POST", f"/{i}", b"") for i in range(200)))

    assert [s.uri for s in asyncio.run(run())] == [f"/{i}" for i in range(200)]
    assert agent.connections == 1


# ---- the seam of Antom's SDK: a module whose client calls three global functions


def standin():
    """What the SDK's module does with them, for responses in particular."""
    m = types.ModuleType("standin")
    m.sign = m.verify = m.do_post = lambda *_: pytest.fail("the SDK's own function was called")

    class DefaultAlipayClient:
        def __init__(self, gateway, client_id):
            self.gateway, self.client_id = gateway, client_id

        def execute(self, path, body):
            signature = m.sign("POST", path, self.client_id, "t", body, "no key")
            headers = {"client-id": self.client_id, "Request-Time": "t", "Signature": f"algorithm=RSA256,keyVersion=1,signature={signature}",
                       "User-Agent": "sdk"}
            came, answer = m.do_post(self.gateway + path, headers, body)
            came, text = dict(came), answer.decode()
            if not came["signature"].split("signature=")[1] or not came["response-time"]:
                return text  # as the SDK does
            if not m.verify("POST", path, came["client-id"], came["response-time"], text, came["signature"].split("signature=")[1], "no key"):
                raise ValueError("response signature verify failed")
            return text

    m.DefaultAlipayClient = DefaultAlipayClient
    return m


@pytest.fixture
def gateway():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            server.seen.append((self.path, {k: v for k, v in self.headers.items()}, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(server.status)
            for name, value in server.reply:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b'{"result":{"resultStatus":"S"}}')

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.status = [], 200
    server.reply = [("Signature", "algorithm=RSA256,keyVersion=1,signature=xyz"), ("Response-Time", "2"), ("Client-Id", "5Y")]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def sdk_client(agent, gateway, module):
    client = Client(agent.path)
    antomagent.sdk.install(module, client, {"5Y": "shop/live"})
    return module.DefaultAlipayClient(f"http://127.0.0.1:{gateway.server_port}", "5Y")


def test_sdk_signs_and_proves_through_the_agent(agent, gateway):
    client = sdk_client(agent, gateway, standin())
    assert client.execute("/ams/api/v1/payments/pay", '{"a":"é"}') == '{"result":{"resultStatus":"S"}}'
    path, headers, body = gateway.seen[0]
    assert (path, body) == ("/ams/api/v1/payments/pay", '{"a":"é"}'.encode())
    assert headers["Signature"] == SIGNED["headers"]["Signature"] and headers["Request-Time"] == "1"
    assert {k.lower(): v for k, v in headers.items()}["user-agent"] == "sdk"
    asked = {m: p for m, p in agent.asked}
    assert asked["sign_request"]["body"] == body and asked["verify_response"]["body"] == b'{"result":{"resultStatus":"S"}}'


@pytest.mark.parametrize("status", [200, 500])
def test_sdk_gets_nothing_unproven(agent, gateway, status):
    """Unsigned, and with headers that are there but empty, which the SDK would let through."""
    def script(method, params):
        if method == "sign_request":
            return SIGNED
        raise KeyError({"code": 400, "name": "UNSIGNED", "class": "verify", "message": "m"})

    agent.script, gateway.status = script, status
    for reply in ([], [("Signature", "algorithm=RSA256,keyVersion=1,signature="), ("Response-Time", ""), ("Client-Id", "5Y")]):
        gateway.reply = reply
        with pytest.raises(AntomError) as e:
            sdk_client(agent, gateway, standin()).execute("/ams/api/v1/payments/pay", "{}")
        assert e.value.name == "UNSIGNED"


def test_sdk_of_another_shape_or_client_id(agent, gateway):
    with pytest.raises(AttributeError):
        antomagent.sdk.install(types.ModuleType("other"), Client(agent.path), {})
    module = standin()
    client = sdk_client(agent, gateway, module)
    client.client_id = "SANDBOX_other"
    with pytest.raises(AntomError) as e:
        client.execute("/ams/api/v1/payments/pay", "{}")
    assert "SANDBOX_other" in e.value.message and gateway.seen == []
    assert not module.verify("POST", "/", "5Y", "2", "forged", "s", "k")
