"""What every client does alike (PROTOCOL.md section 10), each case for each of them. README.md says how they are driven."""
import collections
import json
import os
import pathlib
import re
import socket
import struct
import threading
import time

import msgpack
import pytest

import judge
from agent_fixture import SLOW
from antom_client import frame
from driving import DRIVERS, ROOT, Driver, Failed, b64, opened
from scripted import Scripted, good, refusal

CLIENT_ID = "SANDBOX_5X00000000000001"
PAY, SENT, NOTIFY = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay", "/notify/antom?shop=7"
BODY = '{"a":"é"}\r\n\0\xff'.encode("latin-1")
STATUSES = re.findall(r"^    R\((\w+), (\d+), (\w+), \"", (ROOT / "include/antag/status.h").read_text(), re.M)
PIPELINED = {"c", "python-asyncio", "node", "java", "go"}  # others have a connection for each call that is under way
ONE_AT_A_TIME = {"php"}

each = pytest.mark.parametrize("language", list(DRIVERS))


def sign(body=b"x", **more):
    return {"op": "sign", "profile": "shop/sandbox", "method": "POST", "uri": PAY, "body": b64(body), **more}


def verify(kind="verify_response", headers=None, body=BODY, uri=SENT, **more):
    return {"op": kind, "profile": "shop/sandbox", "method": "POST", "uri": uri, "headers": headers or {}, "body": b64(body), **more}


def fails(driver, command, name):
    with pytest.raises(Failed) as failed:
        driver.call(command)
    assert failed.value.name == name, failed.value
    return failed.value


def own(answers, bodies):
    """Each call has its own answer."""
    assert len(answers) == len(bodies)
    for answer, body in zip(answers, bodies):
        assert opened(answer)["headers"]["Signature"] == body.decode("latin-1")


def answers(language, script, commands, timeout_ms=10000, **more):
    """What each command alone is answered by a scripted agent."""
    with Scripted(script, **more) as agent, Driver(language, agent.path, timeout_ms) as driver:
        return [driver.ask(c) for c in commands], agent


# ---- a real agent


@pytest.fixture(scope="module")
def ready(shared_agent, antom_key):
    shared_agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
    return shared_agent, judge.load_public(shared_agent.ctl("key", "export", "shop/sandbox")["public_key"])


def judged(answer, public, body):
    got = opened(answer)
    assert (got["uri"], got["version"], got["key_version"]) == (SENT, 1, 1) and re.fullmatch(r"soft:\d+", got["record"])
    assert got["url"] == "https://open-sea-global.alipay.com" + SENT
    assert got["headers"]["Content-Type"] == "application/json; charset=UTF-8"
    assert judge.judge_request(public, "POST", SENT, CLIENT_ID, got["headers"], body) == 1


@each
def test_signs(ready, language):
    a, public = ready
    with Driver(language, a.agent_sock) as driver:
        for body in (BODY, b"", b'{"a":1}', bytes(range(256)) * 4096):
            judged(driver.ask(sign(body)), public, body)
        got = driver.call(sign(time=str(int(time.time() * 1000))))
        judged({"ok": got}, public, b"x")
        bodies = [f"{n}".encode() for n in range(60)]
        for answer, body in zip(driver.many([sign(b) for b in bodies]), bodies):
            judged(answer, public, body)


@each
@pytest.mark.parametrize("kind, uri", [("response", SENT), ("notification", NOTIFY)])
def test_verifies(ready, antom_key, language, kind, uri):
    a, _ = ready
    headers = judge.response(antom_key, uri, CLIENT_ID, BODY, kind=kind)
    at = headers.get("response-time") or headers["Request-Time"]
    op = f"verify_{kind}"
    with Driver(language, a.agent_sock) as driver:
        got = driver.call(verify(op, headers, uri=uri))
        assert (got["version"], got["time"]) == (1, at) and abs(got["age_ms"]) < 60000 * SLOW
        assert driver.call(verify(op, {k.upper(): [v] for k, v in headers.items()}, uri=uri, max_age_ms=0))["version"] == 1
        assert fails(driver, verify(op, headers, BODY + b" ", uri), "SIGNATURE_INVALID").class_ == "verify"
        assert fails(driver, verify(op, {}, uri=uri), "UNSIGNED").class_ == "verify"
        half = {k: v for k, v in headers.items() if k.lower() != "signature"}
        fails(driver, verify(op, half, uri=uri), "HALF_SIGNED")
        twice = fails(driver, verify(op, {**headers, "client-id": [CLIENT_ID, CLIENT_ID]}, uri=uri), "BAD_PARAM")
        assert twice.field == "headers"


@each
def test_what_the_agent_refuses(ready, language):
    a, _ = ready
    with Driver(language, a.agent_sock) as driver:
        wrong = fails(driver, sign(uri="no path"), "BAD_PARAM")
        assert (wrong.code, wrong.class_, wrong.field) == (104, "caller", "uri") and wrong.message
        denied = fails(driver, {**sign(), "profile": "other/live"}, "DENIED")
        assert (denied.code, denied.class_, denied.field) == (200, "denied", None)
        fails(driver, sign(time="1700000000000"), "TIME_SKEW")
        fails(driver, sign(merchant="m1"), "NOT_FOUND")
        fails(driver, sign(trace="t" * 129), "BAD_PARAM")
        assert fails(driver, sign(bytes(1048577)), "BAD_PARAM").field == "body"
        assert driver.call({"op": "health"}) == {"state": "ready"}
    with Driver(language, a.agent_sock, uid=4711 if os.getuid() == 0 else None) as driver:
        if os.getuid() == 0:
            fails(driver, sign(), "DENIED")


@each
def test_a_part_of_the_agent_is_restarted(language, antom_key, agent):
    """Its front killed in mid-work: what is lost is repeated, and each signature is right."""
    agent.make_profile("shop", "sandbox", CLIENT_ID)
    public = judge.load_public(agent.ctl("key", "export", "shop/sandbox")["public_key"])
    stop = threading.Event()

    def kill():
        for _ in range(2):
            time.sleep(0.2 * SLOW)  # so that it is in mid-work
            os.kill(agent.pid_of("front"), 9)
            agent.ctl("status", "--wait", 30)
        stop.set()

    killer = threading.Thread(target=kill)
    killer.start()
    good_ones = 0
    with Driver(language, agent.agent_sock) as driver:
        while not stop.is_set():
            bodies = [f"{n}".encode() for n in range(40)]
            for answer, body in zip(driver.many([sign(b) for b in bodies]), bodies):
                if "ok" in answer:
                    judged(answer, public, body)
                    good_ones += 1
                else:
                    assert answer["error"]["class"] in ("retry", "state"), answer
        killer.join()
        assert good_ones > 0
        judged(driver.ask(sign()), public, b"x")


@each
def test_watch(ready, language):
    a, _ = ready
    with Driver(language, a.agent_sock) as driver:
        driver.send({"op": "watch", "count": 5})
        first = driver.line()
        epoch = a.ctl("status")["epoch"]
        assert (first["event"], first["params"]["epoch"]) == ("epoch", epoch)
        a.ctl("key", "set", "shop/sandbox", 1, "--key-version", 5)
        told = driver.line()
        assert told["event"] == "profile" and told["params"]["profile"] == "shop/sandbox"
        assert (told["params"]["sign"], told["params"]["version"], told["params"]["key_version"]) == ("ready", 1, 5)
        assert driver.line() == {"event": "epoch", "params": {"epoch": epoch + 1}}
        a.ctl("key", "set", "shop/sandbox", 1, "--key-version", 1)
        assert [driver.line()["event"] for _ in range(2)] == ["profile", "epoch"]
        assert driver.line() == {"ok": {}}
        assert driver.call({"op": "health"}) == {"state": "ready"}


# ---- a scripted one


@each
def test_says_who_it_is_and_until_when_it_waits(language):
    seen = []

    def script(n, s, asked):
        for r in asked:
            seen.append(r)
            s.sendall(good(r))

    _, agent = answers(language, script, [sign(trace="t1", time="12", merchant="m"), sign(deadline_ms=4000)])
    assert agent.hellos and all(h["client"] == "driver 1" and 1 in h.get("versions", [1]) for h in agent.hellos)
    first = {k: v for k, v in seen[0].params.items() if k != "deadline_ms"}
    assert seen[0].method == "sign_request"
    assert first == {"profile": "shop/sandbox", "method": "POST", "uri": PAY, "body": b"x", "trace": "t1", "time": "12",
                     "merchant": "m"}
    assert 0 < seen[0].params["deadline_ms"] <= 10000 * SLOW and 0 < seen[1].params["deadline_ms"] <= 4000
    assert type(seen[0].params["body"]) is bytes


@each
@pytest.mark.parametrize("step", [1, 7, 100000])
def test_unknown_things_events_and_parts_of_frames(language, step):
    def script(n, s, asked):
        for r in asked:
            data = frame([2, "draining2", {"x": 1}]) + good(r) + frame([2, "what", {}]) + frame([2, "epoch", {"epoch": 1}])
            for i in range(0, len(data), step):
                s.sendall(data[i:i + step])

    bodies = [f"b{n}".encode() for n in range(10)]
    with Scripted(script) as agent, Driver(language, agent.path) as driver:
        for body in bodies:
            own([driver.ask(sign(body))], [body])
        assert agent.connections == 1  # they are used again
        own(driver.many([sign(b) for b in bodies]), bodies)


@each
def test_answers_in_any_order(language):
    """Eight are held, then answered last first, in one write."""
    if language not in PIPELINED:
        width = 1
    else:
        width = 8

    def script(n, s, asked):
        held = []
        for r in asked:
            held.append(good(r))
            if len(held) == width:
                s.sendall(b"".join(reversed(held)))
                held = []

    bodies = [f"b{n}".encode() for n in range(64)]
    with Scripted(script) as agent, Driver(language, agent.path) as driver:
        own(driver.many([sign(b) for b in bodies]), bodies)


@each
def test_answers_of_nobody(language):
    def script(n, s, asked):
        for r in asked:
            other = r._replace(params={"body": b"another's"})
            s.sendall(good(r._replace(id=r.id + 1000)) + good(r) + good(other))

    bodies = [f"b{n}".encode() for n in range(10)]
    got, _ = answers(language, script, [sign(b) for b in bodies])
    own(got, bodies)


@each
def test_every_status(language):
    """Each by its number, once, or asked twice with class retry."""
    statuses = [(name, int(number), class_.lower()) for name, number, class_ in STATUSES if number != "0"]
    assert len(statuses) > 50
    times = collections.Counter()

    def script(n, s, asked):
        for r in asked:
            times[r.params["body"]] += 1
            name, number, class_ = statuses[int(r.params["body"])]
            s.sendall(refusal(r.id, number, name, class_, field="uri"))

    got, _ = answers(language, script, [sign(str(i).encode()) for i in range(len(statuses))])
    for i, ((name, number, class_), answer) in enumerate(zip(statuses, got)):
        error = answer["error"]
        assert (error["code"], error["name"], error["class"], error["message"], error["field"]) == (number, name, class_, "said so",
                                                                                                   "uri")
        twice = class_ == "retry" and name not in ("TIMEOUT", "DEADLINE")
        assert times[str(i).encode()] == (2 if twice else 1), name


@each
@pytest.mark.parametrize("given, class_, twice", [
    ({"code": 599, "name": "NEW", "class": "retry", "message": "m"}, "retry", True), ({"code": 599}, "retry", True),
    ({"code": 499, "message": "m"}, "verify", False), ({"code": 999, "name": "NEW"}, "internal", False),
    ({"code": 250, "class": "denied", "more": [1]}, "denied", False)])
def test_unknown_statuses_by_their_class(language, given, class_, twice):
    count = []

    def script(n, s, asked):
        for r in asked:
            count.append(r)
            s.sendall(frame([1, r.id, given, None]))

    [got], _ = answers(language, script, [sign()])
    assert (got["error"]["code"], got["error"]["class"]) == (given["code"], class_)
    assert len(count) == (2 if twice else 1)


@each
def test_waits_as_it_is_told_and_repeats_once(language):
    times = []

    def script(n, s, asked):
        for r in asked:
            times.append(time.monotonic())
            s.sendall(good(r) if len(times) > 1 else refusal(r.id, 500, "BUSY", "retry", retry_after_ms=300))

    got, _ = answers(language, script, [sign()])
    own(got, [b"x"])
    assert len(times) == 2 and times[1] - times[0] >= 0.3


@each
def test_no_time_to_repeat(language):
    count = []

    def script(n, s, asked):
        for r in asked:
            count.append(r)
            s.sendall(refusal(r.id, 500, "BUSY", "retry", retry_after_ms=3600000))

    [got], _ = answers(language, script, [sign()])
    assert (got["error"]["name"], got["error"]["retry_after_ms"]) == ("BUSY", 3600000) and len(count) == 1


@each
@pytest.mark.parametrize("cut", ["at once", "in mid-answer", "after asking", "while it was idle"])
def test_lost_connections(language, cut):
    """Whatever a lost connection takes along is asked again, on the next one."""
    def script(n, s, asked):
        if n == 0 and cut == "at once":
            return
        for r in asked:
            if n == 0:
                if cut == "in mid-answer":
                    s.sendall(good(r)[:40])
                elif cut == "while it was idle":
                    s.sendall(good(r))
                return
            s.sendall(good(r))

    bodies = [b"one", b"two", b"three"]
    got, agent = answers(language, script, [sign(b) for b in bodies])
    own(got, bodies)
    assert agent.connections == 2


@each
def test_lost_twice(language):
    [got], agent = answers(language, lambda n, s, asked: next(asked), [sign()])
    assert (got["error"]["name"], got["error"]["class"], agent.connections) == ("RETRY", "retry", 2)


@each
def test_says_why_the_agent_ended_it(language):
    def script(n, s, asked):
        next(asked)
        s.sendall(refusal(None, 100, "BAD_FRAME", "caller"))

    [got], agent = answers(language, script, [sign()])
    assert (got["error"]["name"], got["error"]["message"], agent.connections) == ("BAD_FRAME", "said so", 1)


@each
def test_too_slow(language):
    """TIMEOUT in time; the late answer never meets another request."""
    def late(s, answer):
        time.sleep(2.5)
        try:
            s.sendall(answer)
        except OSError:  # given up by then
            pass

    def script(n, s, asked):
        for r in asked:
            if r.params["body"] == b"slow":
                threading.Thread(target=late, args=(s, good(r)), daemon=True).start()
            else:
                s.sendall(good(r))

    with Scripted(script) as agent, Driver(language, agent.path) as driver:
        begin = time.monotonic()
        slow = fails(driver, sign(b"slow", deadline_ms=300), "TIMEOUT")
        assert (slow.code, slow.class_) == (506, "retry") and 0.29 <= time.monotonic() - begin < 2.4 * SLOW
        bodies = [f"b{n}".encode() for n in range(30)]
        for body in bodies:
            own([driver.ask(sign(body))], [body])
        time.sleep(2.5)  # the late answer has come by then
        own([driver.ask(sign(b"then"))], [b"then"])


@each
def test_nothing_comes_at_all(language):
    """Not even a greeting, or not a whole one."""
    for said in (b"", b"\x00\x00", b"\x00\x00\x01\x00\x94"):
        release = threading.Event()

        def script(n, s, asked, said=said, release=release):
            s.sendall(said)
            release.wait(20)

        try:
            [got], _ = answers(language, script, [sign(deadline_ms=300)])
        finally:
            release.set()
        assert got["error"]["name"] == "TIMEOUT"


JUNK = {
    "length 0": struct.pack(">I", 0), "2 GiB": struct.pack(">I", 0x7fffffff), "one over the limit": struct.pack(">I", 1114113),
    "no value": b"\x00\x00\x00\x01\xc1", "another shape": frame([7, 1, None, {}]), "a map": frame({"a": 1}), "too short": frame([1]),
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n", "an array of 2 G values": b"\x00\x00\x00\x05\xdd\x7f\xff\xff\xff",
    "bytes behind the value": b"\x00\x00\x00\x02\xc0\xc0", "an error that is a text": frame([1, 0, "no", None]),
}


@each
@pytest.mark.parametrize("name", list(JUNK))
def test_junk(language, name):
    """No result and no crash; the client goes on with another connection."""
    def script(n, s, asked):
        for i, r in enumerate(asked):
            if r.params["body"] == b"junk":
                s.sendall(JUNK[name])
                s.recv(1)
                return
            s.sendall(good(r))

    with Scripted(script) as agent, Driver(language, agent.path) as driver:
        wrong = driver.ask(sign(b"junk", deadline_ms=int(3000 * SLOW)))["error"]
        assert wrong["name"] in ("BAD_FRAME", "RETRY", "UNREACHABLE"), wrong
        own([driver.ask(sign(b"then"))], [b"then"])


HEADERS = {"Client-Id": "5Y", "Request-Time": "1", "Signature": "s", "Content-Type": "x"}
NOTHING = [None, {}, {"headers": {}}, {"uri": SENT}, [], "text", 3, {"headers": HEADERS, "uri": SENT},
           {"headers": HEADERS, "version": 1, "key_version": 1, "record": "soft:1"},
           {"headers": {**HEADERS, "Signature": 7}, "uri": SENT, "version": 1, "key_version": 1, "record": "soft:1"},
           {"headers": {k: v for k, v in HEADERS.items() if k != "Request-Time"}, "uri": SENT, "version": 1, "key_version": 1,
            "record": "soft:1"},
           {"version": True, "time": "1", "age_ms": 1}, {"version": "1", "time": "1", "age_ms": 1}, {"version": 1, "age_ms": 1},
           {"version": 1, "time": 1, "age_ms": 1}, {"version": 1, "time": "1"}, {"verified": True}]


@each
def test_answers_that_say_nothing(language):
    """What is missing or of another type is no signature, and no proof."""
    def script(n, s, asked):
        for r in asked:
            which = r.params["uri"].split("/")[-1]
            s.sendall(frame([1, r.id, None, NOTHING[int(which)]]))

    commands = [dict(c, uri=f"/{i}") for i in range(len(NOTHING))
                for c in (sign(), verify(headers={"signature": "x"}), verify("verify_notification", headers={"signature": "x"}))]
    got, _ = answers(language, script, commands)
    for command, answer in zip(commands, got):
        assert answer.get("error", {}).get("name") == "BAD_FRAME", (command, answer)


@each
def test_nobody_there(language, tmp_path):
    with Driver(language, tmp_path / "no.sock") as driver:
        gone = fails(driver, sign(), "UNREACHABLE")
        assert (gone.code, gone.class_) == (505, "retry") and "no.sock" in gone.message
    with pytest.raises(Failed) as failed, Driver(language, "/" + "x" * 200) as driver:
        driver.call(sign())
    assert failed.value.name == "BAD_PARAM"


@each
def test_a_full_queue(language, tmp_path):
    """As many have connected as the agent's socket holds: it is waited for, within the deadline."""
    path = tmp_path / "agent.sock"
    waiting = []
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen(0)
        while True:
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            waiting.append(one)
            try:
                one.connect(str(path))
            except BlockingIOError:
                break

        def accept_all():
            time.sleep(0.4)  # the driver stands before a full queue by then
            while True:
                try:
                    c, _ = s.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(c,), daemon=True).start()

        def serve(c):
            for r in Scripted(None).requests(c):
                c.sendall(good(r))

        with Driver(language, path) as driver:
            fails(driver, sign(b"too soon", deadline_ms=100), "TIMEOUT")
            threading.Thread(target=accept_all, daemon=True).start()
            own([driver.ask(sign(b"then"))], [b"then"])
        for one in waiting:
            one.close()
        s.shutdown(socket.SHUT_RDWR)


@each
def test_no_more_than_the_agent_takes(language):
    """It keeps to what hello told: 4 requests of a connection at a time, 100,000 bytes of them."""
    most, wrong = {}, []

    def script(n, s, asked):
        lock, under_way = threading.Lock(), {}

        def answer(r):
            time.sleep(0.01)  # time for more to come
            with lock:
                del under_way[r.id]
            s.sendall(good(r))

        for r in asked:
            with lock:
                if r.id in under_way:
                    wrong.append(r.id)
                under_way[r.id] = len(r.params["body"])
                most[n] = max(most.get(n, (0, 0)), (len(under_way), sum(under_way.values())))
            threading.Thread(target=answer, args=(r,), daemon=True).start()

    limits = {"requests_per_connection": 4, "bytes_per_connection": 100000}
    with Scripted(script, limits) as agent, Driver(language, agent.path) as driver:
        own([driver.ask(sign(b"0"))], [b"0"])  # some pipeline their first calls behind hello
        bodies = [f"b{n}".encode() for n in range(40)]
        own(driver.many([sign(b) for b in bodies]), bodies)
        assert max(count for count, _ in most.values()) <= 4 and not wrong
        most.clear()
        large = [bytes([65 + n]) * 60000 for n in range(6)]
        got = driver.many([sign(b) for b in large])
        own(got, [b[:2000] for b in large])
        assert max(size for _, size in most.values()) <= 100000


@each
def test_an_agent_that_is_stopping(language):
    """After `draining` what comes next goes to another connection."""
    def script(n, s, asked):
        for r in asked:
            s.sendall((frame([2, "draining", {}]) if n == 0 else b"") + good(r))

    got, agent = answers(language, script, [sign(b"1"), sign(b"2"), sign(b"3")])
    own(got, [b"1", b"2", b"3"])
    assert agent.connections == 2


@each
def test_events_of_a_watch(language):
    """Known ones in full; unknown ones, and those that say nothing, are skipped; its end is an error."""
    def script(n, s, asked):
        for r in asked:
            if r.method != "watch":
                s.sendall(good(r))
                continue
            s.sendall(frame([1, r.id, None, {"epoch": 3, "state": "ready", "more": []}]) + frame([2, "new", {"a": 1}]) +
                      frame([2, "epoch", {}]) + frame([2, "profile", {"profile": "a/live"}]) +
                      frame([2, "profile", {"profile": "a/live", "sign": "ready"}]) +
                      frame([2, "profile", {"profile": "a/live", "sign": "KEY_STATE", "sign_why": "w", "more": 1}]) +
                      frame([2, "state", {"state": "locked", "x": 1}]) + frame([2, "lagged", {"epoch": 9}]) +
                      frame([2, "draining", {}]))
            return

    with Scripted(script) as agent, Driver(language, agent.path) as driver:
        own([driver.ask(sign(b"before"))], [b"before"])
        driver.send({"op": "watch", "count": 100})
        told = [driver.line() for _ in range(5)]
        assert [t["event"] for t in told] == ["epoch", "profile", "state", "lagged", "draining"]
        assert (told[0]["params"]["epoch"], told[3]["params"]["epoch"], told[2]["params"]["state"]) == (3, 9, "locked")
        assert (told[1]["params"]["profile"], told[1]["params"]["sign"]) == ("a/live", "KEY_STATE")
        ended = driver.line()["error"]
        assert (ended["name"], ended["class"]) == ("RETRY", "retry")
        own([driver.ask(sign(b"after"))], [b"after"])


@each
@pytest.mark.parametrize("answer, name", [
    (lambda i: refusal(i, 300, "LOCKED", "state"), "LOCKED"), (lambda i: frame([1, i, None, {}]), "BAD_FRAME"), (None, "RETRY")])
def test_a_watch_that_is_refused(language, answer, name):
    def script(n, s, asked):
        for r in asked:
            if answer is None:
                return
            s.sendall(answer(r.id))

    [got], _ = answers(language, script, [{"op": "watch", "count": 1}])
    assert got["error"]["name"] == name


# ---- the vectors


def with_id(data, ident):
    """The answer in these bytes, for another request; every other byte as it was."""
    u = msgpack.Unpacker()
    u.feed(data[4:])
    u.read_array_header()
    u.unpack()
    before = u.tell()
    u.unpack()
    value = data[4:4 + before] + msgpack.packb(ident) + data[4 + u.tell():]
    return struct.pack(">I", len(value)) + value


ANSWERS = json.loads(pathlib.Path(ROOT / "proto/vectors/answers.json").read_text())


@each
def test_answers_of_the_vectors(language):
    """Each as its bytes stand there, in place of whatever was asked."""
    todo = [v for v in ANSWERS if v["message"][0] == 1 and v["message"][1] is not None]
    assert len(todo) >= 8

    def script(n, s, asked):
        for r in asked:
            s.sendall(with_id(bytes.fromhex(todo[int(r.params["uri"][1:])]["hex"]), r.id))

    commands = [sign(uri=f"/{i}") for i in range(len(todo))] + [verify(headers={"signature": "x"}, uri=f"/{i}") for i in range(len(todo))]
    got, _ = answers(language, script, commands)
    for command, answer in zip(commands, got):
        _, _, error, result = todo[int(command["uri"][1:])]["message"]
        if error is not None:
            assert (answer["error"]["code"], answer["error"]["class"]) == (error["code"], todo[int(command["uri"][1:])]["class"])
        elif command["op"] == "sign" and "headers" in result and "record" in result:
            assert answer["ok"]["headers"] == result["headers"] and answer["ok"]["uri"] == result["uri"]
        elif command["op"] == "verify_response" and "age_ms" in result:
            assert answer["ok"]["age_ms"] == result["age_ms"]
        else:
            assert answer["error"]["name"] == "BAD_FRAME", answer


def test_each_case_is_for_every_client():
    """No hole in the matrix: a case that stands here is run with each driver."""
    cases = {name: f for name, f in globals().items() if name.startswith("test_") and name != "test_each_case_is_for_every_client"}
    assert len(cases) >= 25 and set(DRIVERS) >= {"c", "python", "python-asyncio", "node", "java", "go", "php"}
    for name, f in cases.items():
        marks = [m.args for m in f.pytestmark if m.name == "parametrize"]
        assert ("language", list(DRIVERS)) in marks, name
