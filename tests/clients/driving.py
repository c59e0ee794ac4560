"""The drivers of the clients, and what a test asks of them."""
import base64
import json
import os
import pathlib
import subprocess

from agent_fixture import BIN, SLOW, as_uid

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MADE = BIN.parent / "clients"  # what make_clients.py made
JAVA_PATH = ":".join([str(MADE / "java"), "/usr/share/java/msgpack-core.jar"])

# how each driver is started; a client is here, or is not tested
DRIVERS = {
    "c": [str(BIN / "antag-cdriver")],
    "python": ["/usr/bin/python3", str(HERE / "drivers/python_driver.py"), "sync"],
    "python-asyncio": ["/usr/bin/python3", str(HERE / "drivers/python_driver.py"), "async"],
    "node": ["node", str(HERE / "drivers/node_driver.js")],
    "java": ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", JAVA_PATH, "JavaDriver"],
    "go": [str(MADE / "go/driver")],
    "php": ["php", str(HERE / "drivers/php_driver.php")],
}
ENV = {**os.environ, "PYTHONPATH": str(ROOT / "client/python"), "NODE_PATH": str(MADE / "node/node_modules")}


class Failed(Exception):
    def __init__(self, error):
        super().__init__(f"{error['name']}: {error['message']}")
        self.__dict__.update(error)
        self.class_ = error["class"]


def opened(answer):
    if "error" in answer:
        raise Failed(answer["error"])
    return answer["ok"]


class Driver:
    """A running driver; its client is open."""

    def __init__(self, language, socket, timeout_ms=10000, uid=None):
        self.process = subprocess.Popen([*as_uid(uid), *DRIVERS[language]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=ENV)
        self.said = opened(self.ask({"op": "open", "socket": str(socket), "timeout_ms": int(timeout_ms * SLOW)}))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        try:
            status = self.process.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
            assert kind is not None, "the driver did not end"
        self.process.stdout.close()
        assert kind is not None or status == 0, status

    def send(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def line(self):
        text = self.process.stdout.readline()
        assert text, f"the driver ended with {self.process.wait(20)}"
        return json.loads(text)

    def ask(self, command):
        self.send(command)
        return self.line()

    def call(self, command):
        return opened(self.ask(command))

    def many(self, calls):
        return opened(self.ask({"op": "many", "calls": calls}))


def b64(data):
    return base64.b64encode(data).decode()
