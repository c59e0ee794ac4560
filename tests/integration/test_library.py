"""libantomagent: with a real agent, and with a scripted one that does what a real one never does on demand.
Every signature is judged by an implementation of its own."""
import os
import pathlib
import re
import struct
import subprocess
import threading
import time

import pytest

import judge
import scripted
from agent_fixture import BIN, SLOW, as_uid
from antom_client import frame
from scripted import refusal

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CLIENT_ID = "SANDBOX_5X00000000000001"
PAY, SENT, NOTIFY = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay", "/notify/antom?shop=7"
BODY = '{"a":"é"}'


class Line:
    def __init__(self, text):
        self.status, self.what, self.text, retry = text.split("\t")
        self.retry_after_ms = int(retry)


def drive(mode, path, threads=1, calls=1, deadline_ms=20000, headers=(), agent=None, uid=None):
    """The driver's lines, and its exit status."""
    env = dict(agent.env() if agent else os.environ, BODY=BODY)
    done = subprocess.run([*as_uid(uid), str(BIN / "antag-libdriver"), mode, str(path), str(threads), str(calls),
                           str(int(deadline_ms * SLOW)), *headers],
                          capture_output=True, text=True, timeout=120 * SLOW, env=env)
    assert done.stderr == "", done.stderr[:4000]
    return [Line(x) for x in done.stdout.splitlines()], done.returncode


@pytest.fixture(scope="module")
def ready(shared_agent, antom_key):
    shared_agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(antom_key))
    return shared_agent, judge.load_public(shared_agent.ctl("key", "export", "shop/sandbox")["public_key"])


def judge_lines(lines, public):
    for line in lines:
        assert line.status == "OK", (line.status, line.text)
        uri, client_id, at, signature, content_type, record, version = line.text.split("|")
        assert (uri, client_id, content_type, version) == (SENT, CLIENT_ID, "application/json; charset=UTF-8", "1")
        assert re.fullmatch(r"soft:\d+", record)
        headers = {"Client-Id": client_id, "Request-Time": at, "Signature": signature}
        assert judge.judge_request(public, "POST", uri, client_id, headers, line.what.encode()) == 1


# ---- a real agent


@pytest.mark.parametrize("mode, threads, calls", [("sign", 1, 3), ("sign", 16, 20), ("async", 1, 300)])
def test_signs(ready, mode, threads, calls):
    a, public = ready
    lines, status = drive(mode, a.agent_sock, threads, calls, agent=a)
    assert status == 0 and len(lines) == threads * calls
    judge_lines(lines, public)
    assert {x.what for x in lines} == {f"{BODY}#{t}.{c}" for t in range(threads) for c in range(calls)}
    a.check_reports()


def test_sixteen_threads_share_one_connection(ready):
    a, _ = ready
    seen = []
    stop = threading.Event()

    def count():
        while not stop.is_set():
            listing = pathlib.Path("/proc/net/unix").read_text()
            seen.append(sum(line.endswith(a.agent_sock) for line in listing.splitlines()))

    before = pathlib.Path("/proc/net/unix").read_text().count(a.agent_sock)
    thread = threading.Thread(target=count)
    thread.start()
    drive("sign", a.agent_sock, 16, 30, agent=a)
    stop.set()
    thread.join()
    assert max(seen) == before + 1


@pytest.mark.parametrize("mode, kind, uri", [("verify", "response", SENT), ("async-verify", "response", SENT),
                                             ("verify-notification", "notification", NOTIFY)])
def test_verifies(ready, antom_key, mode, kind, uri):
    a, _ = ready
    got = judge.response(antom_key, uri, CLIENT_ID, BODY.encode(), kind=kind)
    headers = [got["client-id"], got.get("response-time") or got["Request-Time"], got["signature"]]
    lines, status = drive(mode, a.agent_sock, 1, 3, headers=headers, agent=a)
    assert status == 0 and [(x.status, x.what, x.text) for x in lines] == [("OK", "verified", headers[1])] * 3
    other = judge.response(antom_key, uri, CLIENT_ID, BODY.encode() + b" ", kind=kind)["signature"]
    lines, status = drive(mode, a.agent_sock, 2 if mode == "verify" else 1, 1, headers=[*headers[:2], other], agent=a)
    assert status == 5 and {x.status for x in lines} == {"SIGNATURE_INVALID"}
    assert "verified" not in {x.what for x in lines}
    lines, _ = drive(mode, a.agent_sock, headers=["", "", ""], agent=a)
    assert lines[0].status == "UNSIGNED" and lines[0].what != "verified"


def test_who_is_not_granted(ready):
    a, _ = ready
    for mode in ("sign", "async"):
        lines, status = drive(mode, a.agent_sock, agent=a, uid=4711)
        assert (lines[0].status, status) == ("DENIED", 3) and lines[0].what == f"{BODY}#0.0"


def test_health(ready):
    a, _ = ready
    lines, status = drive("health", a.agent_sock, 3, 2, agent=a)
    assert status == 0 and [(x.status, x.what) for x in lines] == [("OK", "ready")] * 6


def test_agent_started_anew_meanwhile(agent, antom_key):
    """Front killed in mid-work: each call ends once, repeated where it must be, and every signature is right."""
    agent.make_profile("shop", "sandbox", CLIENT_ID)
    public = judge.load_public(agent.ctl("key", "export", "shop/sandbox")["public_key"])
    stop = threading.Event()

    def kill():
        for _ in range(3):
            time.sleep(0.1 * SLOW)
            os.kill(agent.pid_of("front"), 9)
            agent.ctl("status", "--wait", 30)
        stop.set()

    killer = threading.Thread(target=kill)
    killer.start()
    good = 0
    while not stop.is_set():
        lines, _ = drive("sign", agent.agent_sock, 8, 30, agent=agent)
        assert len(lines) == 8 * 30
        assert {x.status for x in lines} <= {"OK", "RETRY", "UNREACHABLE", "NOT_READY", "DRAINING", "BACKEND"}
        judge_lines([x for x in lines if x.status == "OK"], public)
        good += sum(x.status == "OK" for x in lines)
    killer.join()
    assert good > 0
    lines, status = drive("sign", agent.agent_sock, 2, 2, agent=agent)
    assert status == 0, [(x.status, x.text) for x in lines]


# ---- a scripted agent


class Scripted(scripted.Scripted):
    """Whose clients all say that they are the driver."""

    def __exit__(self, kind, *more):
        super().__exit__(kind, *more)
        assert all(hello["client"] == "driver 1" for hello in self.hellos)


def good(id_, params, **more):
    headers = {"Client-Id": CLIENT_ID, "Request-Time": "1", "Signature": params["body"].decode(),
               "Content-Type": "application/json; charset=UTF-8", "X-New": "y"}
    return frame([1, id_, None, {"headers": headers, "uri": SENT, "version": 1, "key_version": 1, "record": "soft:1",
                                 "surprise": {"a": [1, 2]}, **more}])


def own(lines, count):
    """Each call has its own answer."""
    assert len(lines) == count
    for line in lines:
        assert line.status == "OK", (line.status, line.text)
        assert line.text.split("|")[3] == line.what


MODES = pytest.mark.parametrize("mode, threads, calls", [("sign", 1, 20), ("sign", 16, 5), ("async", 1, 64)])


@MODES
def test_unknown_things_and_events(mode, threads, calls):
    def script(n, s, asked):
        for id_, method, params in asked:
            assert method == "sign_request" and params["profile"] == "shop/sandbox" and params["trace"] == "driver"
            assert 0 < params["deadline_ms"] <= 20000 * SLOW
            s.sendall(frame([2, "epoch", {"x": 1}]) + good(id_, params) + frame([2, "what", {}]))

    with Scripted(script) as agent:
        lines, status = drive(mode, agent.path, threads, calls)
    own(lines, threads * calls)
    assert status == 0 and agent.connections == 1


@MODES
def test_bytes_one_by_one(mode, threads, calls):
    def script(n, s, asked):
        for id_, _, params in asked:
            for i in range(0, len(data := good(id_, params)), 7):
                s.sendall(data[i:i + 7])

    with Scripted(script) as agent:
        own(drive(mode, agent.path, threads, calls)[0], threads * calls)


@pytest.mark.parametrize("mode, threads, calls", [("sign", 16, 4), ("async", 1, 64)])
def test_out_of_order(mode, threads, calls):
    """Sixteen are held, then answered last first."""
    def script(n, s, asked):
        held = []
        for id_, _, params in asked:
            held.append(good(id_, params))
            if len(held) == 16:
                s.sendall(b"".join(reversed(held)))
                held = []

    with Scripted(script) as agent:
        own(drive(mode, agent.path, threads, calls)[0], threads * calls)


def test_answers_of_nobody():
    def script(n, s, asked):
        for id_, _, params in asked:
            s.sendall(good(id_ + 1000, params) + good(id_, params) + good(id_, {"body": b"again"}))

    with Scripted(script) as agent:
        own(drive("sign", agent.path, 2, 10)[0], 20)


STATUSES = re.findall(r"^    R\((\w+), (\d+), (\w+), \"", (SOURCE / "include/antag/status.h").read_text(), re.M)
EXITS = {"CALLER": 2, "DENIED": 3, "STATE": 4, "VERIFY": 5, "RETRY": 6, "INTERNAL": 7}


@pytest.mark.parametrize("mode", ["sign", "async"])
def test_every_status(mode):
    """Each by its number, once or, with class retry and in blocking calls, asked twice."""
    assert len(STATUSES) > 50
    statuses = [s for s in STATUSES if s[1] != "0"]
    for name, number, class_ in statuses:
        asked_for = []

        def script(n, s, asked):
            for id_, _, params in asked:
                asked_for.append(params["body"])
                s.sendall(refusal(id_, int(number), "NAME", class_.lower(), field="uri"))

        with Scripted(script) as agent:
            lines, status = drive(mode, agent.path)
        assert (lines[0].status, lines[0].text, status) == (name, "said so", EXITS[class_]), name
        twice = mode == "sign" and class_ == "RETRY" and name not in ("TIMEOUT", "DEADLINE")
        assert len(asked_for) == (2 if twice else 1), name


def test_unknown_status_by_its_class():
    def script(n, s, asked):
        for id_, _, _ in asked:
            s.sendall(refusal(id_, 599, "NEW", "retry"))

    with Scripted(script) as agent:
        lines, status = drive("sign", agent.path)
    assert (lines[0].status, status) == ("UNKNOWN", 6)


def test_waits_as_it_is_told_and_repeats_once():
    times = []

    def script(n, s, asked):
        for id_, _, params in asked:
            times.append(time.monotonic())
            s.sendall(good(id_, params) if len(times) > 1 else refusal(id_, 500, "BUSY", "retry", retry_after_ms=300))

    with Scripted(script) as agent:
        own(drive("sign", agent.path)[0], 1)
    assert len(times) == 2 and times[1] - times[0] >= 0.3


def test_no_time_to_repeat():
    asked_for = []

    def script(n, s, asked):
        for id_, _, params in asked:
            asked_for.append(id_)
            s.sendall(refusal(id_, 500, "BUSY", "retry", retry_after_ms=3600000))

    with Scripted(script) as agent:
        lines, status = drive("sign", agent.path)
    assert (lines[0].status, lines[0].retry_after_ms, status) == ("BUSY", 3600000, 6) and len(asked_for) == 1


@pytest.mark.parametrize("cut", ["at once", "in mid-answer", "after asking"])
def test_lost_connections(cut):
    """The first connection is lost: blocking calls come again once on the next one."""
    def script(n, s, asked):
        if n == 0 and cut == "at once":
            return
        for id_, _, params in asked:
            if n == 0:
                if cut == "in mid-answer":
                    s.sendall(good(id_, params)[:40])
                return
            s.sendall(good(id_, params))

    with Scripted(script) as agent:
        own(drive("sign", agent.path, 4, 3)[0], 12)
        assert agent.connections == 2
    with Scripted(script) as agent:
        lines, status = drive("async", agent.path)
        assert status == 6 and lines[0].status == "RETRY" and agent.connections == 1  # for the caller to repeat


def test_lost_twice():
    with Scripted(lambda n, s, asked: next(asked)) as agent:
        lines, status = drive("sign", agent.path)
        assert (lines[0].status, status) == ("RETRY", 6) and "closed the connection" in lines[0].text
        assert agent.connections == 2


def test_says_why_it_ends():
    def script(n, s, asked):
        next(asked)
        s.sendall(refusal(None, 500, "BUSY", "retry"))

    with Scripted(script) as agent:
        lines, _ = drive("sign", agent.path)
        assert (lines[0].status, lines[0].text) == ("BUSY", "said so")


@pytest.mark.parametrize("mode", ["sign", "async"])
def test_too_slow(mode):
    """A late answer never meets another request: its connection is given up."""
    def late(s, answer):
        time.sleep(1.0 * SLOW)
        try:
            s.sendall(answer)
        except OSError:  # given up by then, as it should be
            pass

    def script(n, s, asked):
        for id_, _, params in asked:
            if params["body"].endswith(b"#0.0"):
                threading.Thread(target=late, args=(s, good(id_, params)), daemon=True).start()
            else:
                s.sendall(good(id_, params))

    with Scripted(script) as agent:
        lines, status = drive(mode, agent.path, 1, 1 if mode == "async" else 3, deadline_ms=300)
        assert lines[0].status == "TIMEOUT" and status == 6
        own(lines[1:], len(lines) - 1)
        assert agent.connections == (2 if mode == "sign" else 1)


@pytest.mark.parametrize("junk", [
    struct.pack(">I", 0), struct.pack(">I", 0x7fffffff), struct.pack(">I", 1114113), b"\x00\x00\x00\x01\xc1",
    frame([7, 1, None, {}]), frame({"a": 1}), frame([1]), b"HTTP/1.1 400 Bad Request\r\n\r\n",
    frame([1, 1, None, {}]) + b"\x00\x00\x00\x05\xdd\x7f\xff\xff\xff",
])
def test_junk(junk):
    def script(n, s, asked):
        next(asked)
        s.sendall(junk)
        s.recv(1)

    with Scripted(script) as agent:
        lines, _ = drive("sign", agent.path)
        assert lines[0].status in ("RETRY", "BAD_FRAME", "UNREACHABLE") and lines[0].what == f"{BODY}#0.0"


@pytest.mark.parametrize("result", [
    None, {}, {"headers": {}}, {"uri": SENT}, [], "text", 3,
    {"headers": {"Client-Id": CLIENT_ID, "Request-Time": "1", "Signature": 7, "Content-Type": "x"}, "uri": SENT,
     "version": 1, "key_version": 1},
    {"headers": {"Client-Id": CLIENT_ID, "Request-Time": "1", "Signature": "x" * 5000, "Content-Type": "x"}, "uri": SENT,
     "version": 1, "key_version": 1},
])
def test_answers_that_say_nothing(result):
    """What is missing, of another type or too long is no signature and no proof."""
    def script(n, s, asked):
        for id_, _, _ in asked:
            s.sendall(frame([1, id_, None, result]))

    for mode, headers in (("sign", ()), ("async", ()), ("verify", ("a", "b", "c")), ("async-verify", ("a", "b", "c"))):
        with Scripted(script) as agent:
            lines, status = drive(mode, agent.path, headers=headers)
        assert lines[0].status == "BAD_FRAME" and status == 2 and lines[0].what not in ("verified", "NOT EMPTY")


def test_nobody_there(tmp_path):
    for mode in ("sign", "async", "health"):
        lines, status = drive(mode, tmp_path / "no.sock")
        assert (lines[0].status, status) == ("UNREACHABLE", 6) and "no.sock" in lines[0].text
    lines, _ = drive("sign", "/" + "x" * 200)
    assert lines[0].status == "BAD_PARAM"


# ---- watch


def test_watch(ready):
    a, _ = ready
    process = subprocess.Popen([str(BIN / "antag-libdriver"), "watch", a.agent_sock, "1", "5", str(int(20000 * SLOW))],
                               stdout=subprocess.PIPE, text=True, env=dict(a.env(), BODY=BODY))
    first = Line(process.stdout.readline())
    epoch = a.ctl("status")["epoch"]
    assert (first.what, first.text) == ("epoch", f"{epoch}||0||0|0||")
    a.ctl("key", "set", "shop/sandbox", 1, "--key-version", 5)
    a.ctl("key", "suspend", "shop/sandbox", 1)
    told = [Line(process.stdout.readline()) for _ in range(3)]
    a.ctl("key", "resume", "shop/sandbox", 1)
    a.ctl("key", "set", "shop/sandbox", 1, "--key-version", 1)
    rest = process.stdout.read()
    assert process.wait(60 * SLOW) == 0
    assert [(x.what, x.text) for x in told[:2]] == [("profile", "0|shop/sandbox|1|ready|1|5||"),
                                                    ("epoch", f"{epoch + 1}||0||0|0||")]
    assert told[2].what == "profile" and told[2].text.startswith("0|shop/sandbox|0|KEY_STATE|0|0||")
    assert [Line(x).what for x in rest.splitlines()][-1] == "lost"  # by closing


def test_watch_of_a_scripted_agent():
    def script(n, s, asked):
        id_, method, params = next(asked)
        assert method == "watch"
        s.sendall(frame([1, id_, None, {"epoch": 3, "state": "ready", "more": []}]) + frame([2, "new", {"a": 1}]) +
                  frame([2, "epoch", {}]) + frame([2, "profile", {"profile": "a/live"}]) +
                  frame([2, "profile", {"profile": "a/live", "sign": "ready"}]) +
                  frame([2, "profile", {"profile": "x" * 500, "sign": "ready", "version": 1, "key_version": 1}]) +
                  frame([2, "state", {"state": "locked", "x": 1}]) + frame([2, "lagged", {"epoch": 9}]) +
                  frame([2, "draining", {}]))

    with Scripted(script) as agent:
        lines, status = drive("watch", agent.path, 1, 100)
    assert status == 0
    assert [(x.what, x.text) for x in lines] == [("epoch", "3||0||0|0||"), ("state", "0||0||0|0|locked|"),
                                                 ("lagged", "9||0||0|0||"), ("draining", "0||0||0|0||"),
                                                 ("lost", "0||0||0|0||")]


@pytest.mark.parametrize("answer, name", [
    (lambda i: refusal(i, 300, "LOCKED", "state"), "LOCKED"), (lambda i: frame([1, i, None, {}]), "BAD_FRAME"),
    (lambda i: b"", "RETRY"),
])
def test_watch_is_refused(answer, name):
    def script(n, s, asked):
        id_, _, _ = next(asked)
        s.sendall(answer(id_) + (frame([2, "epoch", {"epoch": 7}]) if name != "RETRY" else b""))
        if name != "RETRY":
            s.recv(1)

    with Scripted(script) as agent:
        lines, status = drive("watch", agent.path)
    assert status != 0 and name in [x.status for x in lines]
    assert not [x for x in lines if x.status == "EVENT" and x.what != "lost"]


# ---- what is installed


def exports(path):
    out = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    return {x.split()[2].split("@")[0] for x in out.splitlines() if " T " in x}


def test_exported_symbols():
    """What is exported is what the header and the map say; the rest is nobody's to call."""
    header = (SOURCE / "include/antag/client.h").read_text() + (SOURCE / "include/antag/status.h").read_text() + \
        (SOURCE / "include/antag/types.h").read_text()
    declared = set(re.findall(r"\b(antag_(?:client|async|err|class|fault|slice)_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S)))
    named = set(re.findall(r"(antag_\w+);", (SOURCE / "client/c/libantomagent.map").read_text()))
    assert exports(BIN.parent / "lib/libantomagent.so") == named == declared


def test_needs_msgpack_alone():
    out = subprocess.run(["readelf", "-d", BIN.parent / "lib/libantomagent.so"], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"NEEDED.*\[(\S+?)\.so", out))
    assert needed - {"libasan", "libubsan", "libtsan", "libm", "libgcc_s"} <= {"libmsgpackc", "libc", "libpthread"}
    assert "SONAME" in out and "libantomagent.so.1" in out


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    subprocess.run(["cmake", "--install", BIN.parent, "--component", "client", "--prefix", prefix], check=True,
                   capture_output=True)
    return prefix


def sanitizers():
    """Flags without which a program cannot load a library that was built with a sanitizer."""
    cache = (BIN.parent / "CMakeCache.txt").read_text()
    found = re.search(r"^ANTAG_SANITIZE:STRING=(\S+)$", cache, re.M)
    compiler = re.search(r"^CMAKE_C_COMPILER:\w+=(\S+)$", cache, re.M)[1]
    return compiler, ([f"-fsanitize={found[1]}"] if found else [])


def test_pkg_config_and_examples(installed, ready, antom_key, tmp_path):
    """The examples, as a stranger builds them from what is installed, against a real agent."""
    a, public = ready
    [pc] = installed.rglob("antomagent.pc")
    env = dict(a.env(), PKG_CONFIG_PATH=str(pc.parent), ANTOM_AGENT_SOCKET=a.agent_sock, LD_LIBRARY_PATH=str(pc.parents[1]))
    flags = subprocess.run(["pkg-config", "--define-prefix", "--cflags", "--libs", "antomagent"], capture_output=True,
                           text=True, check=True, env=env).stdout.split()
    compiler, sanitize = sanitizers()
    for name in ("sign", "verify_notification"):
        subprocess.run([compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", *sanitize, SOURCE / f"client/c/examples/{name}.c",
                        "-o", tmp_path / name, *flags], check=True)
    done = subprocess.run([tmp_path / "sign", "shop/sandbox", "POST", PAY], input=BODY.encode(), capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.decode().splitlines()
    assert first == f"POST {SENT}"
    judge.judge_request(public, "POST", SENT, CLIENT_ID, dict(x.split(": ", 1) for x in rest), BODY.encode())
    done = subprocess.run([tmp_path / "sign", "shop/none", "POST", PAY], input=b"", capture_output=True, env=env)
    assert done.returncode == 3 and done.stderr.startswith(b"DENIED: ")
    got = judge.response(antom_key, NOTIFY, CLIENT_ID, BODY.encode(), kind="notification")
    args = [tmp_path / "verify_notification", "shop/sandbox", NOTIFY, CLIENT_ID, got["Request-Time"], got["signature"]]
    done = subprocess.run(args, input=BODY.encode(), capture_output=True, env=env)
    assert done.returncode == 0 and b"signed by Antom with its key version 1" in done.stdout, done.stderr
    done = subprocess.run(args, input=BODY.encode() + b" ", capture_output=True, env=env)
    assert done.returncode == 5 and b"do not trust it: SIGNATURE_INVALID" in done.stderr and done.stdout == b""


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_cmake_package(installed, tmp_path, kind):
    (tmp_path / "CMakeLists.txt").write_text(f"""cmake_minimum_required(VERSION 3.25)
project(stranger C)
find_package(antomagent REQUIRED)
add_executable(stranger main.c)
target_link_libraries(stranger PRIVATE antomagent::{kind} {"msgpackc pthread" if kind == "static" else ""})
""")
    (tmp_path / "main.c").write_text("""#include <antag/client.h>
#include <stdio.h>
int main(void)
{
    struct antag_client *c;
    struct antag_verified v = {0};
    if (antag_client_open(NULL, &c, NULL) != ANTAG_OK || v.verified)
        return 1;
    antag_client_close(c);
    return puts(antag_err_name(ANTAG_ERR_UNSIGNED)) < 0;
}
""")
    compiler, sanitize = sanitizers()
    subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={installed}",
                    f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_C_FLAGS={' '.join(sanitize)}"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path / "b"], check=True, capture_output=True)
    done = subprocess.run([tmp_path / "b/stranger"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "UNSIGNED\n")
