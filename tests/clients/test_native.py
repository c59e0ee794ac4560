"""Each client's own tests with its language's runner, and its examples end to end: signed by a real agent, sent to a false Antom over
HTTPS, the response and a notification proven."""
import os
import pathlib
import re
import socket
import subprocess

import pytest

import judge
from agent_fixture import SLOW
from driving import ENV, JAVA_PATH, MADE, ROOT
from false_antom import FalseAntom
from signing import wait_until

CLIENT_ID = "SANDBOX_5X00000000000001"
PROFILE = "shop/sandbox"
CLIENT = ROOT / "client"
PYTHON = "/usr/bin/python3"
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{JAVA_PATH}:/usr/share/java/junit4.jar:/usr/share/java/hamcrest-core.jar"]

RUNNERS = {
    "python": ([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], r"^(\d+) passed"),
    "node": (["node", "--test", "test/"], r"^# pass (\d+)$"),
    "java": ([*JAVA, "org.junit.runner.JUnitCore"], r"^OK \((\d+) tests?\)"),
    "go": (["go", "test", "-vet=all", "-count=1", "-v", "antomagent"], r"^--- PASS"),
    "php": (["phpunit", "--do-not-cache-result"], r"^OK \((\d+) tests?"),
}
EXAMPLES = {
    "python": {"pay": [PYTHON, CLIENT / "python/examples/pay.py"], "receiver": [PYTHON, CLIENT / "python/examples/receiver.py"]},
    "node": {"pay": ["node", CLIENT / "node/examples/pay.js"], "receiver": ["node", CLIENT / "node/examples/receiver.js"]},
    "java": {"pay": [*JAVA, "Pay"], "receiver": [*JAVA, "Receiver"]},
    "go": {"pay": [MADE / "go/pay"], "receiver": [MADE / "go/receiver"]},
    "php": {"pay": ["php", CLIENT / "php/examples/pay.php"], "receiver": ["php", CLIENT / "php/examples/receiver.php"]},
}
LANGUAGES = pytest.mark.parametrize("language", list(RUNNERS))


@LANGUAGES
def test_own_tests(language):
    command, passed = RUNNERS[language]
    env, folder = dict(ENV), CLIENT / language
    if language == "java":
        tests = sorted(p.stem for p in (CLIENT / "java/src/test/java").rglob("*Test.java"))
        assert tests
        command = [*command, *(f"antomagent.{t}" for t in tests)]
    if language == "go":
        env.update(GO111MODULE="off", GOPATH=f"{MADE}/go/path:/usr/share/gocode", GOCACHE=f"{MADE}/go/cache")
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240 * SLOW)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    counts = re.findall(passed, done.stdout, re.M)
    assert counts and counts[0] != "0", done.stdout[-3000:]


def test_types_of_node():
    """The TypeScript declarations take what is right, and refuse what is not."""
    done = subprocess.run(["node", str(MADE / "node/node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022",
                           "--moduleResolution", "node", "--module", "commonjs", str(CLIENT / "node/test/types.ts")],
                          env=ENV, capture_output=True, text=True, timeout=120 * SLOW)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def antom(tmp_path_factory):
    with FalseAntom(tmp_path_factory.mktemp("antom")) as antom:
        yield antom


@pytest.fixture(scope="module")
def shop(shared_agent, antom):
    shared_agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=antom.public_key)
    shared_agent.ctl("profile", "set", PROFILE, "--gateway", antom.url)
    antom.register(CLIENT_ID, shared_agent.ctl("key", "export", PROFILE)["public_key"])
    return shared_agent


def environment(agent, antom):
    """The false Antom's certificate by the means of every language; the agent's socket."""
    return {**ENV, "ANTOM_AGENT_SOCKET": str(agent.agent_sock), "SSL_CERT_FILE": str(antom.ca), "NODE_EXTRA_CA_CERTS": str(antom.ca),
            "ANTOM_CA_FILE": str(antom.ca)}


def run(command, env):
    return subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True, timeout=60 * SLOW)


@LANGUAGES
def test_pays(shop, antom, language):
    env = environment(shop, antom)
    done = run([*EXAMPLES[language]["pay"], PROFILE, "250"], env)
    assert done.returncode == 0 and re.fullmatch(r"paid \S+\n", done.stdout), (done.stdout, done.stderr)
    assert antom.calls[-1][1:4] == ("/ams/sandbox/api/v1/payments/pay", CLIENT_ID, None)


@LANGUAGES
@pytest.mark.parametrize("wrong", ["unsigned", "certificate"])
def test_pays_nobody_else(shop, antom, tmp_path, language, wrong):
    """An answer that proves nothing, and a server that is not Antom: no payment is reported, and the status says so."""
    env = environment(shop, antom)
    if wrong == "certificate":
        (tmp_path / "empty.pem").write_text(pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text())
        for name in ("SSL_CERT_FILE", "ANTOM_CA_FILE"):
            env[name] = str(tmp_path / "empty.pem")
        del env["NODE_EXTRA_CA_CERTS"]
        done = run([*EXAMPLES[language]["pay"], PROFILE], env)
    else:
        kept = antom.keys.pop(CLIENT_ID)
        try:
            done = run([*EXAMPLES[language]["pay"], PROFILE], env)
        finally:
            antom.keys[CLIENT_ID] = kept
        assert "UNSIGNED" in done.stderr, done.stderr
    assert done.returncode == 1 and "paid" not in done.stdout and done.stderr.strip(), (done.returncode, done.stdout, done.stderr)


class Receiver:
    def __init__(self, command, env, folder):
        self.out, self.err = open(folder / "out", "w+"), open(folder / "err", "w+")
        self.process = subprocess.Popen([str(c) for c in command], env=env, stdout=self.out, stderr=self.err, start_new_session=True)

    def said(self):
        return pathlib.Path(self.out.name).read_text()

    def port(self):
        wait_until("it listens", lambda: re.search(r"^listening on (\d+)$", self.said(), re.M), 30)
        return int(re.search(r"^listening on (\d+)$", self.said(), re.M).group(1))

    def stop(self):
        try:
            os.killpg(self.process.pid, 15)
        except ProcessLookupError:
            pass
        self.process.wait(20)
        self.out.close()
        self.err.close()


def post(port, target, headers, body, length=None):
    """A raw request: (status, body). The target goes out as it is."""
    head = f"POST {target} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {len(body) if length is None else length}\r\n"
    head += "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30 * SLOW) as s:
        s.sendall(head.encode("latin-1") + body)
        data = b""
        try:
            while part := s.recv(65536):
                data += part
        except ConnectionResetError:
            pass  # it may close on what it does not read
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), rest


@LANGUAGES
def test_is_notified(shop, antom, tmp_path, language):
    env = environment(shop, antom)
    receiver = Receiver([*EXAMPLES[language]["receiver"], PROFILE, "0"], env, tmp_path)
    try:
        port = receiver.port()
        target, body = "/notify/a%2Fb/%C3%A9?shop=7&x=%20+%7e", '{"notifyType":"PAYMENT_RESULT", "x":"é\\/"}\r\n'.encode()
        headers = judge.response(antom.key, target, CLIENT_ID, body, kind="notification")
        status, head, answer = post(port, target, headers, body)
        assert status == 200 and b'"resultStatus":"S"' in answer and "application/json" in head, (status, head, answer)
        wait_until("it says so", lambda: f"notified {target} {len(body)}\n" in receiver.said())
        binary = bytes(range(256)) * 40
        status, _, _ = post(port, "/n", judge.response(antom.key, "/n", CLIENT_ID, binary, kind="notification"), binary)
        assert status == 200
        for wrong_target, wrong_headers, wrong_body in ((target + "&a=1", headers, body), (target, headers, body + b" "), (target, {}, body)):
            status, _, answer = post(port, wrong_target, wrong_headers, wrong_body)
            assert status == 400 and b"resultStatus" not in answer
        large = bytes(1048577) if language == "php" else b""  # php -S reads all of it before its script runs; others need not see it
        assert post(port, target, headers, large, length=1048577)[0] == 413
        shop.ctl("lock")
        try:
            assert post(port, target, headers, body)[0] == 503
        finally:
            shop.ctl("unlock")
        wait_until("it is taken again", lambda: post(port, target, headers, body)[0] == 200)
        assert receiver.said().count("notified") == 3
    finally:
        receiver.stop()
