"""A TPM 2.0 for tests: swtpm with state and socket in a folder of its own."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import time


class Tpm:
    """`conf()` is the section of a keyring in it."""

    def __init__(self, folder):
        self.folder = folder / "tpm"
        self.state = self.folder / "state"
        self.state.mkdir(parents=True)
        self.server = self.folder / "srv"
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([
            "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}",
            "--server", f"type=unixio,path={self.server},mode=0600",
            "--ctrl", f"type=unixio,path={self.server}.ctrl,mode=0600",
            "--flags", "not-need-init,startup-clear"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not (self.server.exists() and (self.folder / "srv.ctrl").exists()):
            assert self.process.poll() is None and time.monotonic() < end, "swtpm does not start"
            time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.server.unlink(missing_ok=True)
        (self.folder / "srv.ctrl").unlink(missing_ok=True)

    def restart(self):
        """As after a power cut: state kept, everything loaded gone."""
        self.kill()
        self.start()

    def exchange(self):
        """Another TPM stands at the same place."""
        self.kill()
        self.state.rename(self.folder / "first")
        self.state.mkdir()
        self.start()

    def bring_back(self):
        self.kill()
        shutil.rmtree(self.state)
        (self.folder / "first").rename(self.state)
        self.start()

    def hang(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def command(self, code, body):
        """One command with an empty password, as bytes (TPM 2.0 library, part 3); only while nobody else is connected."""
        auth = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
        handle, rest = body[:4], body[4:]
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.server))
            s.sendall(struct.pack(">HII", 0x8002, 10 + len(body) + len(auth), code) + handle + auth + rest)
            answer = s.recv(4096)
        (rc,) = struct.unpack(">I", answer[6:10])
        assert rc == 0, hex(rc)
        return answer[10:]

    def extend(self, pcr, digest=b"\x01" * 32):
        """As firmware that measures something else; the SHA-256 bank."""
        self.command(0x182, struct.pack(">IIH", pcr, 1, 0x0B) + digest)

    def conf(self, name="tpm1", **more):
        keys = {"type": "tpm", "tcti": f"swtpm:path={self.server}", **more}
        return f"\n[keyring {name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items())
