"""A false agent for the tests of antomctl: both sockets in a folder, answers by script.

It shows what a real agent never does on demand: hostile texts, silence, broken frames, refusals that ask
to be repeated. It keeps what it was asked, with the memory files that came along.
"""
import array
import fcntl
import os
import pathlib
import shutil
import socket
import struct
import tempfile
import threading

import msgpack

F_GET_SEALS = 1034
SEALED = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write


class Refuse(Exception):
    def __init__(self, code, name, class_, message, **more):
        super().__init__(name)
        self.error = {"code": code, "name": name, "class": class_, "message": message, **more}


class Asked:
    def __init__(self, sock, method, params, files):
        self.sock, self.method, self.params, self.files = sock, method, params, files


def read_file(fd):
    """Bytes and seals of a received memory file; its position must be the start."""
    seals = fcntl.fcntl(fd, F_GET_SEALS)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    content = os.read(fd, 1 << 20)
    os.close(fd)
    return content, seals


class FalseAgent:
    """`script(asked)` returns a result, raises Refuse, or returns bytes to send as they are (b"": close)."""

    def __init__(self, script):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="antag-"))
        self.script, self.asked, self.listening = script, [], []

    def __enter__(self):
        for name in ("staff.sock", "agent.sock"):
            self.listen(name)
        return self

    def listen(self, name):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(str(self.root / name))
        s.listen(16)
        self.listening.append(s)
        threading.Thread(target=self.accept, args=(s, name), daemon=True).start()

    def __exit__(self, *unused):
        for s in self.listening:
            s.shutdown(socket.SHUT_RDWR)
            s.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def accept(self, listening, name):
        while True:
            try:
                s, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s, name), daemon=True).start()

    @staticmethod
    def receive(s):
        """One frame; descriptors are taken with its first byte only."""
        fds = array.array("i")
        first, control, _, _ = s.recvmsg(1, socket.CMSG_SPACE(4 * fds.itemsize))
        for level, kind, content in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content)
        if not first:
            return None, []
        rest = s.recv(3, socket.MSG_WAITALL)
        length = struct.unpack(">I", first + rest)[0]
        return msgpack.unpackb(s.recv(length, socket.MSG_WAITALL)), [read_file(fd) for fd in fds]

    def serve(self, s, name):
        with s:
            message, files = self.receive(s)
            while message is not None and message[2] == "hello" and "client" in message[3]:  # the library's, before what it is asked for
                greeting = msgpack.packb([1, message[1], None, {"version": 1}])
                s.sendall(struct.pack(">I", len(greeting)) + greeting)
                message, files = self.receive(s)
            if message is None:
                return
            kind, ident, method, params = message
            assert kind == 0
            asked = Asked(name, method, params, files)
            self.asked.append(asked)
            try:
                result = self.script(asked)
                answer = result if isinstance(result, bytes) else msgpack.packb([1, ident, None, result])
                raw = isinstance(result, bytes)
            except Refuse as refused:
                answer, raw = msgpack.packb([1, ident, refused.error, None]), False
            try:
                s.sendall(answer if raw else struct.pack(">I", len(answer)) + answer)
            except OSError:
                pass
