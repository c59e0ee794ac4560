"""A TPM whose answers can be changed on their way: between the agent and swtpm, at the TPM's own protocol (TPM 2.0 library, part
1, 18: a command and an answer are a tag, a size, a code, and what follows)."""
import socket
import struct
import threading
import time

from swtpm import Tpm

CREATE_PRIMARY, CREATE, LOAD, SIGN, TEST_PARMS = 0x131, 0x153, 0x157, 0x15D, 0x18A
LOCKOUT, RETRY, FAILURE, HIERARCHY, BAD_AUTH, VALUE = 0x921, 0x922, 0x101, 0x185, 0x9A2, 0x2C4


def refuse(code, commands):
    """These commands (None: all) are answered with that code, and not done."""
    def fault(command, do):
        (which,) = struct.unpack(">I", command[6:10])
        return struct.pack(">HII", 0x8001, 10, code) if commands is None or which in commands else do()
    return fault


def change(commands, how):
    """The bytes of their answers go through `how`; None: the connection is cut instead."""
    def fault(command, do):
        (which,) = struct.unpack(">I", command[6:10])
        return how(do()) if which in commands else do()
    return fault


def slow(seconds):
    def fault(_, do):
        time.sleep(seconds)
        return do()
    return fault


class FaultyTpm(Tpm):
    """`fault(command, do)` gives the answer in place of the TPM; do(): the TPM's own. None: nothing is wrong."""

    fault = None

    def start(self):
        super().start()
        self.behind, self.server = self.server, self.folder / "mid"
        (self.folder / "mid.ctrl").symlink_to(self.folder / "srv.ctrl")  # what resets it goes straight there
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.server))
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def kill(self):
        self.listener.close()
        self.server.unlink(missing_ok=True)
        (self.folder / "mid.ctrl").unlink(missing_ok=True)
        self.server = self.behind
        super().kill()

    def accept(self):
        listener = self.listener
        while True:
            try:
                ours, _ = listener.accept()
            except OSError:
                return
            with ours, socket.socket(socket.AF_UNIX) as theirs:  # one at a time, as swtpm
                theirs.connect(str(self.behind))
                self.serve(ours, theirs)

    def serve(self, ours, theirs):
        try:
            while (command := message(ours)) is not None:
                def do(command=command):
                    theirs.sendall(command)
                    return message(theirs)
                fault = self.fault
                answer = do() if fault is None else fault(command, do)
                if answer is None:
                    return
                ours.sendall(answer)
        except OSError:
            return  # the agent, or the TPM, is gone


def message(sock):
    head = exactly(sock, 10)
    return None if head is None else head + (exactly(sock, struct.unpack(">I", head[2:6])[0] - 10) or b"")


def exactly(sock, n):
    got = b""
    while len(got) < n:
        more = sock.recv(n - len(got))
        if not more:
            return None
        got += more
    return got
