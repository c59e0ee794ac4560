"""watch: events in order, only of what a caller may use, on connections that go on working; slow readers; the end."""
import os
import select
import signal

import msgpack
import pytest

from agent_fixture import SLOW, Agent, as_uid
from antom_client import AntomError, Client, Closed, frame

PAY = "/ams/api/v1/payments/pay"
STRANGER = 4711


@pytest.fixture(scope="module")
def agent():
    a = Agent()
    try:
        a.start()
        a.make_profile("shop", "sandbox", "SANDBOX_5X1")
        a.make_profile("other", "sandbox", "SANDBOX_5X2", uid=STRANGER)
        yield a
    finally:
        a.remove()


class Watcher(Client):
    """Keeps events; Client skips them."""

    def __init__(self, agent):
        super().__init__(agent.agent_sock, timeout=20 * SLOW)
        self.events = []
        self.start = self.call("watch")

    def recv_message(self):
        message = super().recv_message()
        if message[0] == 2:
            self.events.append((message[1], message[2]))
        return message

    def until(self, wanted):
        """Events up to the first that `wanted` takes, this one included."""
        n = 0
        while True:
            while n < len(self.events):
                n += 1
                if wanted(*self.events[n - 1]):
                    taken, self.events = self.events[:n], self.events[n:]
                    return taken
            self.recv_message()

    def until_epoch(self, agent):
        now = agent.ctl("status")["epoch"]
        return self.until(lambda name, p: name == "epoch" and p["epoch"] >= now)


def sign(client, profile="shop/sandbox"):
    return client.call("sign_request", profile=profile, method="POST", uri=PAY, body=b"{}")


def profiles(events):
    return [p for name, p in events if name == "profile"]


def test_begins_with_what_is(agent):
    with Watcher(agent) as w:
        assert w.start == {"epoch": agent.ctl("status")["epoch"], "state": "ready"}
        assert w.call("watch") == w.start  # again is no harm
        assert sign(w)["version"] and w.events == []


def test_key_switched(agent):
    with Watcher(agent) as w:
        new = agent.ctl("key", "generate", "shop/sandbox")["version"]
        w.until_epoch(agent)
        agent.ctl("key", "activate", "shop/sandbox", new)
        told = profiles(w.until_epoch(agent))
        assert told == [{"profile": "shop/sandbox", "sign": "ready", "version": new, "key_version": 1}]
        assert sign(w)["version"] == new  # on the connection that was told
        agent.ctl("key", "set", "shop/sandbox", new, "--key-version", 9)
        assert profiles(w.until_epoch(agent)) == [dict(told[0], key_version=9)]
        agent.ctl("key", "set", "shop/sandbox", new, "--key-version", 1)


def test_stopped_and_resumed(agent):
    version = agent.ctl("key", "list", "shop/sandbox")["keys"][-1]["version"]
    with Watcher(agent) as w:
        agent.ctl("key", "suspend", "shop/sandbox", version)
        told = profiles(w.until(lambda name, p: name == "profile"))[-1]
        assert told["profile"] == "shop/sandbox" and told["sign"] == "KEY_STATE" and told["sign_why"]
        assert "version" not in told
        with pytest.raises(AntomError) as e:
            sign(w)
        assert e.value.name == "KEY_STATE"
        agent.ctl("key", "resume", "shop/sandbox", version)
        told = profiles(w.until(lambda name, p: name == "profile" and p["sign"] == "ready"))[-1]
        assert told["version"] == version


def test_epochs_rise_one_by_one(agent):
    with Watcher(agent) as w:
        for n in range(5):
            agent.ctl("key", "set", "shop/sandbox", 1, "--key-version", n + 1)
        epochs = [p["epoch"] for name, p in w.until_epoch(agent) if name == "epoch"]
        assert epochs == sorted(set(epochs)) and epochs[0] > w.start["epoch"]


def test_only_what_one_may_use(agent):
    with Watcher(agent) as w:
        new = agent.ctl("key", "generate", "other/sandbox")["version"]
        agent.ctl("key", "activate", "other/sandbox", new)
        agent.ctl("key", "set", "shop/sandbox", 1, "--key-version", 3)
        told = w.until_epoch(agent)
        assert all(p["profile"] == "shop/sandbox" for p in profiles(told))
        assert "other" not in str(told)


def test_who_does_not_watch_is_told_nothing(agent):
    with Client(agent.agent_sock) as c:
        c.call("health")
        agent.ctl("key", "set", "shop/sandbox", 1, "--key-version", 4)
        c.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            c.sock.recv(1)


@pytest.mark.parametrize("params", [{"profile": "shop/sandbox"}, {"what": 1}, {"deadline_ms": 0}])
def test_bad_params(agent, params):
    with Client(agent.agent_sock) as c:
        with pytest.raises(AntomError) as e:
            c.call("watch", **params)
        assert e.value.name == "BAD_PARAM" and e.value.field in params


def test_lock_and_unlock():
    with Agent() as a:
        a.make_profile("shop", "sandbox", "SANDBOX_5X1")
        with Watcher(a) as w:
            a.ctl("lock")
            told = w.until(lambda name, p: name == "state")
            assert told[-1][1]["state"] == "locked" and "unlock" in told[-1][1]["reason"]
            with pytest.raises(AntomError) as e:
                w.call("watch")
            assert e.value.name == "LOCKED"
            a.ctl("unlock")
            w.until(lambda name, p: name == "state" and p["state"] == "ready")
            sign(w)


def test_slow_reader(agent):
    """Who does not read loses events, not the connection, and is told so; others lose nothing."""
    with Watcher(agent) as slow, Watcher(agent) as quick:
        while select.select([], [slow.sock], [], 1.0 * SLOW)[1]:  # until the agent reads no more of it
            ids = range(slow.next_id + 1, slow.next_id + 101)
            slow.send_raw(b"".join(frame([0, i, "health", {}]) for i in ids))  # in one: it fits while there is room
            slow.next_id += 100
            slow.waiting.update(ids)
        for n in range(3):
            agent.ctl("key", "set", "shop/sandbox", 1, "--key-version", n + 5)
        assert len([1 for name, _ in quick.until_epoch(agent) if name == "epoch"]) >= 3
        last = agent.ctl("status")["epoch"]
        told = slow.until(lambda name, p: p.get("epoch") == last)
        assert [name for name, _ in told] == ["lagged"]
        for i in ids:
            slow.collect(i)
        assert slow.call("health")["state"] == "ready"


def test_draining():
    """Everybody is told, then the connection ends."""
    with Agent() as a:
        a.make_profile("shop", "sandbox", "SANDBOX_5X1")
        with Watcher(a) as w, Client(a.agent_sock) as c:
            c.call("health")
            os.kill(a.process.pid, signal.SIGTERM)
            assert w.until(lambda name, p: name == "draining")[-1] == ("draining", {})
            assert c.recv_message() == [2, "draining", {}]
            for one in (w, c):
                with pytest.raises(Closed):
                    one.recv_message()


def test_front_killed(agent):
    """A watcher's connection ends with its front; the next one begins with what is."""
    with Watcher(agent) as w:
        os.kill(agent.pid_of("front"), signal.SIGKILL)
        with pytest.raises(Closed):
            while True:
                w.recv_message()
    agent.ctl("status", "--wait", 30)
    with Watcher(agent) as w:
        assert w.start == {"epoch": agent.ctl("status")["epoch"], "state": "ready"}


def test_form(agent):
    """An event is [2, name, params] and nothing else."""
    assert as_uid(None) == []
    with Watcher(agent) as w:
        agent.ctl("key", "set", "shop/sandbox", 1, "--key-version", 8)
        data = w.sock.recv(65536)
        size = int.from_bytes(data[:4], "big")
        message = msgpack.unpackb(data[4:4 + size], raw=False)
        assert message[0] == 2 and len(message) == 3 and isinstance(message[1], str) and isinstance(message[2], dict)
