"""What a service manager does: passes the sockets, waits for READY=1, reloads, stops. The sockets it passed
outlive the agent, so that a restart refuses nobody."""
import os
import signal
import socket
import subprocess

import pytest

import judge
from agent_fixture import BIN, SLOW, START_S, Agent
from antom_client import Client

PAY = "/ams/api/v1/payments/pay"


class Manager:
    """Holds both sockets and the notification socket; starts the agent as systemd would."""

    def __init__(self, agent):
        self.agent = agent
        self.sockets = [self.listen(agent.agent_sock), self.listen(agent.staff_sock)]
        self.notify_path = str(agent.root / "notify")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.notify_path)
        self.notify.settimeout(START_S)

    @staticmethod
    def listen(path):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(path)
        os.chmod(path, 0o666)
        s.listen(64)
        return s

    def start(self):
        def pass_sockets():
            spare = [os.dup(s.fileno()) for s in self.sockets]
            for i, fd in enumerate(spare):
                os.dup2(fd, 3 + i)  # what they are called from now on; inherited
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", NOTIFY_SOCKET=self.notify_path)
            os.execve(BIN / "antom-agent", ["antom-agent", "--home", str(self.agent.home)],
                      {**self.agent.env(), **{k: os.environ[k] for k in
                                              ("LISTEN_PID", "LISTEN_FDS", "NOTIFY_SOCKET")}})
        self.agent.process = subprocess.Popen(["true"], preexec_fn=pass_sockets, close_fds=False,
                                              stdout=subprocess.PIPE, stderr=open(self.agent.log, "ab"))
        assert self.said() == "READY=1"

    def said(self):
        return self.notify.recv(4096).decode()

    def close(self):
        for s in [*self.sockets, self.notify]:
            s.close()


@pytest.fixture
def manager():
    agent = Agent()
    manager = Manager(agent)
    yield manager
    manager.close()
    agent.remove()


def test_passed_sockets(manager, antom_key):
    agent = manager.agent
    inode = os.stat(agent.agent_sock).st_ino
    manager.start()
    agent.make_profile("shop", "sandbox", "SANDBOX_5Xsm", antom_key=judge.spki(antom_key))
    assert os.stat(agent.agent_sock).st_ino == inode, "it made a socket of its own"
    public = judge.load_public(agent.ctl("key", "export", "shop/sandbox")["public_key"])
    with Client(agent.agent_sock) as client:
        got = client.call("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b"{}")
    judge.judge_request(public, "POST", "/ams/sandbox" + PAY.removeprefix("/ams"), "SANDBOX_5Xsm", got["headers"],
                        b"{}")
    agent.process.send_signal(signal.SIGHUP)
    assert [manager.said(), manager.said()] == ["RELOADING=1", "READY=1"]
    agent.process.send_signal(signal.SIGTERM)
    assert manager.said() == "STOPPING=1"
    agent.stop()
    # between two agents nobody is refused: the connection waits in the backlog
    assert os.stat(agent.agent_sock).st_ino == inode
    with Client(agent.agent_sock, timeout=30 * SLOW) as waiting:
        request = waiting.send("sign_request", profile="shop/sandbox", method="POST", uri=PAY, body=b"{}")
        manager.start()
        assert waiting.collect(request)["version"] == 1


def test_a_socket_of_another_path_is_not_taken(tmp_path):
    """Descriptors that listen elsewhere are left alone, and the agent makes its own sockets."""
    agent = Agent()
    manager = Manager(agent)
    try:
        for s, name in zip(manager.sockets, ("a", "b")):
            s.close()
        manager.sockets = [Manager.listen(str(agent.root / name)) for name in ("a", "b")]
        manager.start()
        assert agent.ctl("status", "--wait", 30)["state"] == "ready"
        agent.stop()
        assert not os.path.exists(agent.agent_sock), "its own socket is removed at the end"
    finally:
        manager.close()
        agent.remove()
