"""The limits of agent.sock, each with a setting that makes it small: what hello tells is enforced, and what is
over it is answered BUSY or ends its connection at the limit."""
import contextlib
import select
import socket
import time

import msgpack
import pytest

import judge
from wire import (PAY, SENT_PAY, SLOW, AntomError, Caller, Neighbour, answers_until_end, assert_closed, assert_open,
                  by_id, check_refusal, connect, frame, held, request, rss_kib, running, sign_params, silent,
                  wait_for)

PROFILE = "shop/sandbox"
OTHER = 10001
FIRST_MS = int(600 * SLOW)
SMALL = {"first_frame_ms": FIRST_MS, "requests_per_connection": 4, "requests": 10, "connections_per_uid": 40,
         "bytes_per_connection": 1114112, "bytes": 2 * 1114112}


def limited(**limits):
    return running("[limits]\n" + "".join(f"{k} = {v}\n" for k, v in limits.items()))


@pytest.fixture(scope="module")
def agent():
    with limited(**SMALL) as a:
        yield a


@pytest.fixture(scope="module")
def keeper(agent):
    return agent.pid_of("keeper", "soft")


def signs(ids, **more):
    return b"".join(request(i, "sign_request", sign_params(PROFILE, **more)) for i in ids)


def busy(messages):
    """ids answered BUSY; all of the form that tells when to come again."""
    out = set()
    for message in messages:
        if message[2] is not None:
            error = check_refusal(message, message[1], "BUSY")
            assert error["class"] == "retry" and 0 < error["retry_after_ms"] <= 10000
            out.add(message[1])
    return out


def test_hello_tells_the_settings(agent):
    with connect(agent.agent_sock) as c:
        limits = c.call("hello")["limits"]
        assert {k: limits[k] for k in ("requests_per_connection", "bytes_per_connection", "first_frame_ms")} == {
            k: SMALL[k] for k in ("requests_per_connection", "bytes_per_connection", "first_frame_ms")}


# ---- in flight


def test_requests_per_connection(agent, keeper):
    with connect(agent.agent_sock) as c, held(keeper):
        c.send_raw(signs(range(4)))
        c.send_raw(signs(range(4, 10)))
        assert busy([c.recv_message() for _ in range(6)]) == set(range(4, 10))
        assert_open(c)  # what needs no keeper is not counted
        with connect(agent.agent_sock) as other:
            other.send_raw(signs([0]))
            assert_open(other)
    with connect(agent.agent_sock) as c:  # all ids and all room are free again
        for _ in range(3):
            c.send_raw(signs(range(4)))
            assert busy([c.recv_message() for _ in range(4)]) == set()


def test_requests_in_all(agent, keeper):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(agent.agent_sock)) for _ in range(4)]
        with held(keeper):
            for c in clients[:2]:
                c.send_raw(signs(range(4)))
                assert_open(c)
            clients[2].send_raw(signs(range(4)))
            assert len(busy([clients[2].recv_message() for _ in range(2)])) == 2
            clients[3].send_raw(signs([9]))
            assert busy([clients[3].recv_message()]) == {9}
        for c, count in zip(clients, (4, 4, 2)):
            assert busy([c.recv_message() for _ in range(count)]) == set()
        clients[3].send_raw(signs([9]))
        assert busy([clients[3].recv_message()]) == set()


def test_requests_of_a_uid():
    """One caller on many connections leaves room for the others."""
    with limited(requests_per_uid=6, bytes_per_uid=1114112) as a:
        a.ctl("grant", "add", PROFILE, "--uid", OTHER, "--ops", "sign")
        keeper = a.pid_of("keeper", "soft")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(a.agent_sock)) for _ in range(3)]
            other = stack.enter_context(Caller(a.agent_sock, OTHER))
            with held(keeper):
                for c in clients[:2]:
                    c.send_raw(signs(range(3)))
                    assert_open(c)
                clients[2].send_raw(signs([0]))
                refused = clients[2].recv_message()
                assert busy([refused]) == {0} and "6 requests are in flight of this uid" in refused[2]["message"]
                other.send_raw(signs(range(6)))
                assert_open(other)
            for c, count in zip((*clients, other), (3, 3, 0, 6)):
                assert busy([c.recv_message() for _ in range(count)]) == set()
            body = bytes(600000)
            with held(keeper):
                clients[0].send_raw(signs([1], body=body))
                assert_open(clients[0])
                clients[1].send_raw(signs([2], body=body))
                refused = clients[1].recv_message()
                assert busy([refused]) == {2} and "of this uid" in refused[2]["message"]
                other.send_raw(signs([3], body=body))
                assert_open(other)
            clients[0].close()  # while it waits; what it held comes back
            assert busy([other.recv_message()]) == set()
            wait_for(lambda: not busy_now(clients[1], body))  # room for the uid again


def busy_now(client, body):
    client.send_raw(signs([7], body=body))
    return busy([client.recv_message()])


def test_rate_of_a_profile():
    """What the keeper lets one profile sign, whoever asks."""
    with running("[keyring soft]\nprofile_rate = 5\n") as a, connect(a.agent_sock) as c:
        a.make_profile("second")
        began = time.monotonic()
        c.send_raw(signs(range(40)))
        answers = [c.recv_message() for _ in range(40)]
        refused = [m for m in answers if m[2] is not None]
        assert 40 - len(refused) <= 5 + 5 * (time.monotonic() - began) + 1 and len(refused) >= 10
        assert busy(refused) and "keyring soft lets one profile (profile_rate)" in refused[0][2]["message"]
        assert max(m[2]["retry_after_ms"] for m in refused) <= 200
        c.send_raw(request(50, "sign_request", sign_params("second/sandbox")))  # another has its own
        assert c.recv_message()[2] is None
        time.sleep(refused[-1][2]["retry_after_ms"] / 1000)
        c.send_raw(signs([60]))
        assert c.recv_message()[2] is None


def test_bytes_per_connection(agent, keeper):
    body = bytes(600000)
    with connect(agent.agent_sock) as c, held(keeper):
        c.send_raw(signs([1], body=body))
        assert_open(c)
        c.send_raw(signs([2], body=body) + request(3, "health"))
        assert busy([c.recv_message()]) == {2}
        assert c.recv_message()[:3] == [1, 3, None]  # the rest of the frame was passed over whole
        c.send_raw(signs([4]))  # a small one has room
        assert_open(c)


def test_bytes_per_connection_again(agent):
    """The room comes back, however often it was refused."""
    body = bytes(600000)
    with connect(agent.agent_sock) as c:
        for _ in range(20):
            assert c.call("sign_request", **sign_params(PROFILE, body=body))["headers"]


def test_bytes_in_all(agent, keeper):
    body = bytes(1000000)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(agent.agent_sock)) for _ in range(3)]
        with held(keeper):
            for c in clients[:2]:
                c.send_raw(signs([1], body=body))
                assert_open(c)
            clients[2].send_raw(signs([1], body=body))
            assert busy([clients[2].recv_message()]) == {1}
        for c in clients[:2]:
            assert c.recv_message()[:3] == [1, 1, None]
        clients[2].send_raw(signs([1], body=body))
        assert clients[2].recv_message()[:3] == [1, 1, None]


def test_bytes_that_never_end(agent):
    """Incomplete frames count, too, and what they held is given back with the connection."""
    half = signs([1], body=bytes(1040000))[:-1]
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            c = stack.enter_context(connect(agent.agent_sock))
            with contextlib.suppress(AntomError):
                c.send_raw(half)
    with connect(agent.agent_sock) as c:
        def fits():
            c.send_raw(signs([1], body=bytes(1040000)))
            return not busy([c.recv_message()])
        wait_for(fits)


def test_id_of_a_refused_frame_in_flight(agent, keeper):
    """No room for it, and its id belongs to another: nobody can be told by id."""
    with connect(agent.agent_sock) as c:
        with held(keeper):
            c.send_raw(signs([1], body=bytes(600000)))
            assert_open(c)
            c.send_raw(signs([1], body=bytes(600000)))
            check_refusal(c.recv_message(), None, "BUSY")
        got = answers_until_end(c)
        assert [m[:3] for m in got] == [[1, 1, None]]


# ---- connections


def test_connections_per_uid(agent):
    limit = SMALL["connections_per_uid"]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(agent.agent_sock)) for _ in range(limit)]
        for c in clients:
            assert_open(c)
        for _ in range(3):
            with connect(agent.agent_sock) as c:
                error = check_refusal(c.recv_message(), None, "BUSY")
                assert error["class"] == "retry"
                assert_closed(c)
        with Caller(agent.agent_sock, 10001) as other:  # others are not kept out
            assert_open(other)
        clients[0].close()
        wait_for(lambda: _answers(agent))
        for c in clients[1:]:
            assert_open(c)


def _answers(agent):
    with connect(agent.agent_sock) as c:
        try:
            return c.call("health")["state"] == "ready"
        except AntomError:
            return False


# ---- time


def ended_after(sock, begun, limit_s):
    """Seconds from `begun` until the end of the connection came."""
    sock.settimeout(limit_s)
    assert sock.recv(1) == b"", "an answer came"
    return time.monotonic() - begun


@pytest.mark.parametrize("begin", [b"", b"\0", request(1, "health")[:-1]], ids=["nothing", "one byte", "all but one"])
def test_first_frame(agent, begin):
    begun = time.monotonic()
    with contextlib.closing(silent(agent.agent_sock)) as s:
        s.sendall(begin)
        took = ended_after(s, begun, 10 * SLOW)
        assert FIRST_MS / 1000 * 0.9 <= took < FIRST_MS / 1000 + 3 * SLOW


def test_dripping_does_not_help(agent):
    """A byte now and then does not move the limit."""
    begun = time.monotonic()
    with contextlib.closing(silent(agent.agent_sock)) as s:
        with contextlib.suppress(OSError):
            for byte in request(1, "health", {"trace": "t" * 128}):
                s.sendall(bytes([byte]))
                time.sleep(FIRST_MS / 1000 / 60)
        s.setblocking(True)
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(1) == b""
        assert time.monotonic() - begun < FIRST_MS / 1000 * 2.5 + 3 * SLOW


def test_a_later_frame_that_stays_incomplete(agent):
    with connect(agent.agent_sock) as c:
        assert_open(c)
        c.send_raw(request(1, "health")[:-1])
        begun = time.monotonic()
        assert FIRST_MS / 1000 * 0.9 <= ended_after(c.sock, begun, 10 * SLOW) < FIRST_MS / 1000 + 3 * SLOW


def test_idle_is_free(agent):
    """Behind the first frame silence costs nothing."""
    with connect(agent.agent_sock) as c, connect(agent.agent_sock) as frames:
        assert_open(c)
        for _ in range(4):
            time.sleep(FIRST_MS / 1000 * 0.7)
            assert_open(frames)
        assert_open(c)


def test_who_does_not_close_behind_a_refusal(agent):
    """The agent has ended its half; ours is closed for us at the limit."""
    with connect(agent.agent_sock) as c:
        c.send_raw(b"\0\0\0\0")
        check_refusal(c.recv_message(), None, "BAD_FRAME")
        assert_closed(c)

        def is_gone():
            try:
                c.sock.send(b"x")
                return False
            except OSError:
                return True
        wait_for(is_gone)


# ---- crowds


def wait_for_all_ends(socks, seconds):
    """Seconds until each of them has ended, oldest first; nothing else may come."""
    poller = select.epoll()
    for s in socks:
        poller.register(s, select.EPOLLIN)
    left, ends, begun = {s.fileno(): s for s in socks}, [], time.monotonic()
    while left:
        assert time.monotonic() - begun < seconds, f"{len(left)} are still open"
        for fd, _ in poller.poll(0.1):
            assert left.pop(fd).recv(1) == b""
            poller.unregister(fd)
            ends.append(time.monotonic())
    poller.close()
    return ends


def test_a_thousand_that_say_nothing():
    first_s = 2.0 * SLOW
    with limited(first_frame_ms=int(first_s * 1000), connections_per_uid=1200) as a, Neighbour(a) as neighbour:
        with contextlib.ExitStack() as stack:
            begun = time.monotonic()
            crowd = [stack.enter_context(contextlib.closing(silent(a.agent_sock))) for _ in range(1000)]
            before = neighbour.calls
            ends = wait_for_all_ends(crowd, first_s + 20 * SLOW)
            assert ends[0] - begun >= first_s * 0.9
            assert neighbour.calls > before
        with connect(a.agent_sock) as c:
            assert_open(c)


def test_who_never_reads():
    """Answers that nobody takes are kept within bounds, and are all there when they are taken at last."""
    with limited(connections_per_uid=200) as a, Neighbour(a), contextlib.ExitStack() as stack:
        front = a.pid_of("front")
        before = rss_kib(front)
        crowd = []
        for _ in range(12):
            c = stack.enter_context(connect(a.agent_sock))
            crowd.append([c, fill(c)])
        grown = rss_kib(front) - before
        per = 1536 * (8 if SLOW > 1 else 1)  # 256 KiB of answers, as much of input, twice when buffers grow
        assert grown < per * len(crowd) + 16384 * (8 if SLOW > 1 else 1), f"{grown} KiB for {len(crowd)}"
        for c, sent in crowd[:3]:
            c.sock.shutdown(socket.SHUT_WR)
            got = by_id(answers_until_end(c))
            assert set(got) == set(range(sent)) and all(error is None for error, _ in got.values())


def fill(c):
    """Ask until the agent reads no more, and never read. The number of requests that went out whole."""
    sent, idle_since = 0, None
    c.sock.setblocking(False)
    while idle_since is None or time.monotonic() - idle_since < 0.2:
        data = request(sent, "hello")
        try:
            done = c.sock.send(data)
        except BlockingIOError:
            idle_since = idle_since or time.monotonic()
            time.sleep(0.01)
            continue
        idle_since = None
        sent += 1
        if done < len(data):  # finish it, so that the stream stays one of frames
            c.sock.settimeout(10 * SLOW)
            c.sock.sendall(data[done:])
            c.sock.setblocking(False)
        assert sent < 100000, "the agent reads on and on"
    c.sock.setblocking(True)
    return sent


def test_who_never_reads_signatures():
    """The same with work of the keeper: what has been taken is bounded by the requests in flight."""
    with limited() as a, Neighbour(a), connect(a.agent_sock) as c:
        c.sock.settimeout(0.5)
        sent = 0
        data = signs(range(100000, 100000 + 100))
        with contextlib.suppress(socket.timeout):
            while sent < 100:
                c.sock.sendall(data)
                sent += 1
        with connect(a.agent_sock) as beside:
            assert_open(beside)


def test_slow_writers_and_readers_beside_a_neighbour():
    """Twenty that write byte by byte and read byte by byte all get what is theirs."""
    with limited(first_frame_ms=int(20000 * SLOW)) as a, Neighbour(a), contextlib.ExitStack() as stack:
        public = judge.load_public(a.ctl("key", "export", PROFILE)["public_key"])
        client_id = a.ctl("profile", "show", PROFILE)["client_id"]
        crowd = [stack.enter_context(connect(a.agent_sock)) for _ in range(20)]
        data = frame([0, 5, "sign_request", sign_params(PROFILE, uri=PAY)])
        for i in range(len(data)):
            for c in crowd:
                c.send_raw(data[i:i + 1])
        for c in crowd:
            got = b""
            while len(got) < 4 or len(got) < 4 + int.from_bytes(got[:4], "big"):
                got += c._read(1, time.monotonic() + 10 * SLOW)
            result = msgpack.unpackb(got[4:])[3]
            judge.judge_request(public, "POST", SENT_PAY, client_id, result["headers"], b"{}")
