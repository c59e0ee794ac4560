"""A client of agent.sock, written from proto/PROTOCOL.md alone. Python 3, msgpack, nothing else."""
import socket
import struct
import time

import msgpack

FRAME_MAX = 1114112
CLASSES = {1: "caller", 2: "denied", 3: "state", 4: "verify", 5: "retry"}


class AntomError(Exception):
    """An answer that failed, or a connection that did (codes 505 and 506, made here)."""

    def __init__(self, code, name, class_, message, field=None, retry_after_ms=None):
        super().__init__(f"{name} ({code}): {message}" + (f" [{field}]" if field else ""))
        self.code, self.name, self.class_, self.message = code, name, class_, message
        self.field, self.retry_after_ms = field, retry_after_ms

    @classmethod
    def of(cls, error):
        class_ = error.get("class") or CLASSES.get(error["code"] // 100, "internal")
        return cls(error["code"], error.get("name", "UNKNOWN"), class_, error.get("message", ""),
                   error.get("field"), error.get("retry_after_ms"))


class Closed(AntomError):
    """The agent closed the connection, or could not be reached."""

    def __init__(self, message):
        super().__init__(505, "UNREACHABLE", "retry", message)


def frame(message):
    """A message, or bytes that stand for one, with their length in front."""
    value = message if isinstance(message, bytes) else msgpack.packb(message)
    return struct.pack(">I", len(value)) + value


class Client:
    """One connection. Not for several threads at once."""

    def __init__(self, path, timeout=10.0):
        self.path, self.timeout = str(path), timeout
        self.sock, self.next_id, self.waiting, self.answers = None, 0, set(), {}
        self.connect()

    def connect(self):
        self.close()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self.path)
        except OSError as e:
            self.close()
            raise Closed(f"{self.path}: {e.strerror or e}") from e

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock, self.waiting, self.answers = None, set(), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data):
        """Any bytes: for abuse."""
        if self.sock is None:
            raise Closed("not connected")
        self.sock.settimeout(self.timeout)
        try:
            self.sock.sendall(data)
        except socket.timeout as e:
            self._time_out(e)
        except OSError as e:
            raise Closed(str(e)) from e

    def _time_out(self, cause):
        self.close()  # a late answer must not meet a new request with the same id
        raise AntomError(506, "TIMEOUT", "retry", "no answer came in time") from cause

    def _read(self, size, deadline):
        data = b""
        while len(data) < size:
            try:
                self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
                part = self.sock.recv(size - len(data))
            except socket.timeout as e:
                self._time_out(e)
            except OSError as e:
                raise Closed(str(e)) from e
            if not part:
                raise Closed("the agent closed the connection")
            data += part
        return data

    def recv_message(self):
        """The next whole message, of any shape."""
        if self.sock is None:
            raise Closed("not connected")
        deadline = time.monotonic() + self.timeout
        size = struct.unpack(">I", self._read(4, deadline))[0]
        if not 0 < size <= FRAME_MAX:
            self.close()
            raise Closed(f"the agent sent a frame of {size} bytes")
        return msgpack.unpackb(self._read(size, deadline), raw=False)

    def send(self, method, /, **params):
        """Send without waiting; the id returned is for collect()."""
        self.next_id = (self.next_id + 1) & 0x7FFFFFFF
        self.send_raw(frame([0, self.next_id, method, params]))
        self.waiting.add(self.next_id)
        return self.next_id

    def collect(self, id_):
        """The result of the request `id_`, or its AntomError. Answers to others are kept for them."""
        while id_ not in self.answers:
            message = self.recv_message()
            if message[0] != 1:
                continue  # an event
            if message[1] is None:  # why the connection is about to end
                raise AntomError.of(message[2])
            if message[1] in self.waiting:
                self.waiting.remove(message[1])
                self.answers[message[1]] = message[2:]
        error, result = self.answers.pop(id_)
        if error is not None:
            raise AntomError.of(error)
        return result

    def call(self, method, /, **params):
        return self.collect(self.send(method, **params))

    def call_twice(self, method, /, **params):
        """As call(), repeated once where PROTOCOL.md says so: class retry, or a lost connection."""
        try:
            if self.sock is None:
                self.connect()
            return self.call(method, **params)
        except AntomError as e:
            if e.class_ != "retry":
                raise
            time.sleep((e.retry_after_ms or 0) / 1000)
            if isinstance(e, Closed) or self.sock is None:
                self.connect()
            return self.call(method, **params)
