"""A real agent on a home of its own, for tests: init, start, antomctl, kill, stop.

ANTAG_BIN names the folder of the programs under test. Every stop checks that the agent ended with
status 0 and that no sanitizer wrote a report.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

BIN = pathlib.Path(os.environ.get("ANTAG_BIN", "build/release/bin")).resolve()
SLOW = float(os.environ.get("ANTAG_SLOW", "1"))  # sanitizer builds wait longer
START_S = 30 * SLOW


# The leak checker's word when the process it looks at is killed: roles are, by the kernel, when their supervisor is,
# and may have begun to end by themselves.
CUT_OFF = re.compile(r"(==\d+==Unable to get registers from thread \d+\.\n?)*")


class CtlError(Exception):
    """antomctl failed; carries its exit status and the error map."""

    def __init__(self, args, status, error, text):
        super().__init__(f"antomctl {' '.join(map(str, args))}: exit {status}: {error or text}")
        self.status, self.error, self.text = status, error or {}, text
        self.name = self.error.get("name")


EXIT = {"caller": 2, "denied": 3, "state": 4, "verify": 5, "retry": 6, "internal": 7}


def as_uid(uid):
    """What stands before a command to run it as another user."""
    return [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


class Agent:
    """`uid`: home, agent and, unless told otherwise, antomctl belong to this user."""

    program = "antom-agent"

    def __init__(self, seal="file", passphrase=None, init=True, conf=None, uid=None):
        self.uid = uid
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="antag-"))
        os.chmod(self.root, 0o755)  # callers of other uids come in
        if uid is not None:
            os.chown(self.root, uid, uid)
        self.home = self.root / "home"
        self.reports = self.root / "reports"
        self.reports.mkdir(mode=0o777)
        os.chmod(self.reports, 0o777)
        self.process, self.killed = None, False
        self.log = self.root / "log"
        if init:
            self.init(seal, passphrase)
        if conf:
            self.configure(conf)

    # ---- commands

    def env(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ANTOM_AGENT")}
        for tool in ("ASAN", "UBSAN", "TSAN"):
            more = env.get(f"{tool}_OPTIONS", "")
            env[f"{tool}_OPTIONS"] = f"{more}:log_path={self.reports}/{tool.lower()}".lstrip(":")
        return env

    def init(self, seal="file", passphrase=None):
        args = ["init", "--seal", seal, "--staff-uid", str(os.getuid() if self.uid is None else self.uid)]
        return self.ctl(*args, input=passphrase)

    def ctl_raw(self, *args, input=None, timeout=None, uid=None):
        """Run antomctl as it is; the CompletedProcess with bytes."""
        command = [*as_uid(self.uid if uid is None else uid), str(BIN / "antomctl"), "--home", str(self.home),
                   *map(str, args)]
        if isinstance(input, str):
            input = input.encode()
        return subprocess.run(command, input=input if input is not None else b"", capture_output=True,
                              timeout=timeout or 60 * SLOW, env=self.env())

    def ctl(self, *args, input=None, timeout=None, uid=None):
        """Run antomctl --json; its object, or CtlError."""
        done = self.ctl_raw("--json", *args, input=input, timeout=timeout, uid=uid)
        try:
            value = json.loads(done.stdout) if done.stdout.strip() else {}
        except ValueError:
            raise CtlError(args, done.returncode, None, done.stdout + done.stderr) from None
        needs_somebody = args[:1] == ("status",) and done.returncode == EXIT["state"] and value.get("attention")
        if done.returncode != 0 and not needs_somebody:
            raise CtlError(args, done.returncode, value.get("error"), done.stderr)
        return value

    def refused(self, name, *args, **more):
        """A command that must fail with this status and its class's exit status; returns the message."""
        try:
            value = self.ctl(*args, **more)
        except CtlError as error:
            assert error.name == name, error
            assert error.status == EXIT[error.error["class"]], error
            assert error.error["message"], error
            return error.error["message"]
        raise AssertionError(f"{' '.join(map(str, args))} was to be refused with {name}, and answered {value}")

    def configure(self, text):
        with open(self.home / "agent.conf", "a") as f:
            f.write(text)

    # ---- life

    def agent_command(self):
        return [*as_uid(self.uid), str(BIN / self.program), "--home", str(self.home)]

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.agent_command(), stdout=subprocess.PIPE, stderr=log, env=self.env())
        if wait:
            try:
                self.wait_ready()
            except AssertionError:  # nobody else would end it
                if self.process.poll() is None:
                    self.kill()
                raise
        return self

    def wait_ready(self):
        os.set_blocking(self.process.stdout.fileno(), False)
        end = time.monotonic() + START_S
        said = b""
        while b"ready\n" not in said:
            assert self.process.poll() is None, f"the agent ended: {self.log.read_text(errors='replace')}"
            self.check_reports()
            assert time.monotonic() < end, f"not ready in time: {self.log.read_text(errors='replace')}"
            said += self.process.stdout.read() or b""
            time.sleep(0.01)

    def stop(self):
        """SIGTERM; checks the end and the sanitizers' reports."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=30 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not end on SIGTERM: {self.log.read_text(errors='replace')[-4000:]}") from None
        self.process.stdout.close()
        self.process = None
        self.check_reports()
        assert status == 0, f"exit status {status}: {self.log.read_text(errors='replace')[-4000:]}"

    def kill(self):
        """SIGKILL the supervisor; the roles end with it."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None
        self.killed = True

    def check_reports(self):
        for report in self.reports.iterdir():
            text = report.read_text(errors="replace")
            if not (self.killed and CUT_OFF.fullmatch(text)):
                raise AssertionError(f"{report.name}:\n{text[:8000]}")

    def remove(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *unused):
        self.remove()

    # ---- looking and touching

    @property
    def agent_sock(self):
        return str(self.home / "agent.sock")

    @property
    def staff_sock(self):
        return str(self.home / "staff.sock")

    def roles(self):
        return self.ctl("status")["roles"]

    def doctor(self):
        """What doctor finds wrong, by check."""
        done = self.ctl_raw("--json", "doctor")  # whose exit status says that something is wrong
        return {c["check"]: c for c in json.loads(done.stdout)["checks"] if not c["ok"]}

    def pid_of(self, role, name=""):
        for r in self.roles():
            if r["role"] == role and r["name"] == name:
                return r["pid"]
        raise AssertionError(f"no {role} {name}")

    def log_text(self):
        return self.log.read_text(errors="replace")

    # ---- the usual set-up

    def make_profile(self, app="shop", env="sandbox", client_id=None, key=True, antom_key=None, uid=None,
                     ops="sign,verify", query=True):
        """An application with one profile that can sign and verify; returns its name."""
        profile = f"{app}/{env}"
        if app not in [a["app"] for a in self.ctl("app", "list")["apps"]]:
            self.ctl("app", "create", app, "--role", "merchant", "--region", "SG", "--product", "Checkout",
                     "--currency", "USD")
        if client_id is None:
            client_id = f"{'SANDBOX_' if env == 'sandbox' else ''}5X{app}"
        self.ctl("profile", "set", profile, "--client-id", client_id, "--gateway",
                 "https://open-sea-global.alipay.com")
        if key:
            self.ctl("key", "generate", profile)
        if antom_key is not None:
            self.ctl("antom-key", "add", profile, input=antom_key)
        more = ["--query"] if query else []
        own = os.getuid() if self.uid is None else self.uid
        self.ctl("grant", "add", profile, "--uid", own if uid is None else uid, "--ops", ops, *more)
        return profile
