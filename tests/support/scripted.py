"""An agent by script: it does what a real one never does on demand."""
import collections
import shutil
import socket
import struct
import tempfile
import threading

import msgpack

from antom_client import frame

LIMITS = {"frame": 1114112, "requests_per_connection": 128, "bytes_per_connection": 8388608}
Asked = collections.namedtuple("Asked", "id method params")


class Scripted:
    """`script(n, connection, requests)` is called for each connection, n from 0; requests are all but hello, which is answered here."""

    def __init__(self, script, limits=None):
        self.folder = tempfile.mkdtemp(prefix="antag-")
        self.path = f"{self.folder}/agent.sock"
        self.script, self.limits = script, {**LIMITS, **(limits or {})}
        self.connections, self.hellos, self.wrong = 0, [], []

    def __enter__(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(self.path)
        self.sock.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, kind, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        shutil.rmtree(self.folder)
        assert kind is not None or not self.wrong, self.wrong

    def accept(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            n, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self.serve, args=(n, s), daemon=True).start()

    def serve(self, n, s):
        try:
            self.script(n, s, self.requests(s))
        except (OSError, StopIteration):
            pass
        except Exception as error:  # told by __exit__  # noqa: BLE001
            self.wrong.append(repr(error))
        finally:
            s.close()

    def requests(self, s):
        data = b""
        while True:
            while len(data) < 4 or len(data) < 4 + struct.unpack(">I", data[:4])[0]:
                part = s.recv(1 << 20)
                if not part:
                    return
                data += part
            size = struct.unpack(">I", data[:4])[0]
            kind, ident, method, params = msgpack.unpackb(data[4:4 + size], raw=False)
            data = data[4 + size:]
            assert kind == 0 and 0 <= ident <= 0x7fffffff
            if method == "hello":
                self.hellos.append(params)
                s.sendall(frame([1, ident, None, {"version": 1, "agent": "9", "state": "ready", "limits": self.limits,
                                                  "profiles": [], "more": 1}]))
                continue
            yield Asked(ident, method, params)


def good(asked, **more):
    """The answer to a sign_request: its body stands in the Signature."""
    body = asked.params["body"]
    headers = {"Client-Id": "5Y", "Request-Time": "1", "Signature": body[:2000].decode("latin-1"),
               "Content-Type": "application/json; charset=UTF-8", "X-New": "y"}
    return frame([1, asked.id, None, {"headers": headers, "uri": "/sent", "version": 1, "key_version": 7, "record": "soft:1",
                                      "surprise": {"a": [1, 2]}, **more}])


def refusal(ident, code, name, class_, **more):
    return frame([1, ident, {"code": code, "name": name, "class": class_, "message": "said so", **more}, None])
