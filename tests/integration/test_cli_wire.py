"""antomctl against a false agent: what it sends, and what it makes of every kind of answer."""
import json
import os
import pty
import select
import signal
import subprocess
import time

import msgpack
import pytest

from agent_fixture import BIN, SLOW
from false_agent import SEALED, FalseAgent, Refuse

CTL = str(BIN / "antomctl")
KEY = {"profile": "shop/sandbox", "version": 1, "state": "active", "key_version": 1, "keyring": "soft",
       "bits": 2048, "origin": "imported", "fingerprint": "ab" * 32, "created_at_ms": 1700000000000,
       "state_since_ms": 1700000000000}
STATUS = {"state": "ready", "version": "9.9.9", "pid": 7, "epoch": 3, "since_ms": 1700000000000,
          "seal": "file", "home": "/h", "roles": [], "profiles": []}


def env(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ANTOM_AGENT")}
    return {**kept, "TZ": "UTC", **more}


def run(root, *args, input=b"", timeout=60, **more):
    return subprocess.run([CTL, "--home", str(root), *args], input=input, capture_output=True,
                          timeout=timeout * SLOW, env=env(**more))


def ask(script, *args, **more):
    """Run one command; the finished process and what the false agent was asked."""
    with FalseAgent(script) as agent:
        return run(agent.root, *args, **more), agent.asked


def answers(result):
    return lambda asked: result


def refuses(*error, **more):
    def script(asked):
        raise Refuse(*error, **more)
    return script


SENT = [
    ("app create shop --role isv --region SG --product P --currency SGD --scenario a --scenario b --type T",
     "app_create", {"app": "shop", "role": "isv", "region": "SG", "product": "P", "currency": "SGD",
                    "scenarios": ["a", "b"], "type": "T"}),
    ("app list", "app_list", {}),
    ("app show shop", "app_show", {"app": "shop"}),
    ("profile set a/live --client-id C --gateway https://g --notify-url https://n --response-max-age-ms 0",
     "profile_set", {"profile": "a/live", "client_id": "C", "gateway": "https://g",
                     "notify_url": "https://n", "response_max_age_ms": 0}),
    ("profile show a/live", "profile_show", {"profile": "a/live"}),
    ("key generate a/live --key-version 2", "key_generate", {"profile": "a/live", "key_version": 2}),
    ("key list a/live", "key_list", {"profile": "a/live"}),
    ("key show a/live 3", "key_show", {"profile": "a/live", "version": 3}),
    ("key export a/live --version 2 --pem", "key_export", {"profile": "a/live", "version": 2, "pem": True}),
    ("key activate a/live 2", "key_activate", {"profile": "a/live", "version": 2}),
    ("key suspend a/live 2 --reason leak", "key_suspend",
     {"profile": "a/live", "version": 2, "reason": "leak"}),
    ("key resume a/live 2", "key_resume", {"profile": "a/live", "version": 2}),
    ("key set a/live 2 --key-version 5", "key_set", {"profile": "a/live", "version": 2, "key_version": 5}),
    ("antom-key list", "antom_key_list", {}),
    ("antom-key list a/live", "antom_key_list", {"profile": "a/live"}),
    ("antom-key revoke a/live 1", "antom_key_revoke", {"profile": "a/live", "version": 1}),
    ("fence add a/live --path /x/**", "fence_add", {"profile": "a/live", "path": "/x/**"}),
    ("fence list", "fence_list", {}),
    ("fence remove 4", "fence_remove", {"fence": 4}),
    ("grant add a/live --uid 0 --ops sign,verify --ops explain --path /a --path /b --query --max-body 9 --method P*",
     "grant_add", {"profile": "a/live", "uid": 0, "ops": ["sign", "verify", "explain"], "paths": ["/a", "/b"],
                   "query": True, "max_body": 9, "methods": ["P*"]}),
    ("grant add a/live --gid 5 --ops sign", "grant_add", {"profile": "a/live", "gid": 5, "ops": ["sign"]}),
    ("grant add a/live --unit pay.service --ops sign", "grant_add",
     {"profile": "a/live", "unit": "pay.service", "ops": ["sign"]}),
    ("grant add a/live --uid 5 --ops sign --rate 20 --burst 5", "grant_add",
     {"profile": "a/live", "uid": 5, "ops": ["sign"], "rate": 20, "burst": 5}),
    ("grant list", "grant_list", {}),
    ("grant remove 4", "grant_remove", {"grant": 4}),
    ("staff add --uid 5 --role officer --role viewer --mail a@b.c", "staff_add",
     {"uid": 5, "roles": ["officer", "viewer"], "mail": "a@b.c"}),
    ("staff list", "staff_list", {}),
    ("staff set --uid 5 --role approver,officer", "staff_set", {"uid": 5, "roles": ["approver", "officer"]}),
    ("staff remove --uid 5", "staff_remove", {"uid": 5}),
    ("app remove shop", "app_remove", {"app": "shop"}),
    ("antom-key activate a/live 2", "antom_key_activate", {"profile": "a/live", "version": 2}),
    ("rotate request a/live", "rotate_request", {"profile": "a/live"}),
    ("rotate status", "rotate_status", {}),
    ("rotate status a/live --all", "rotate_status", {"profile": "a/live", "all": True}),
    ("rotate submit a/live --key-version 2", "rotate_submit", {"profile": "a/live", "key_version": 2}),
    ("rotate probe a/live", "rotate_probe", {"profile": "a/live"}),
    ("rotate activate a/live --anyway", "rotate_activate", {"profile": "a/live", "anyway": True}),
    ("rotate rollback a/live --reason leak", "rotate_rollback", {"profile": "a/live", "reason": "leak"}),
    ("rotate cancel a/live", "rotate_cancel", {"profile": "a/live"}),
    ("rotate call a/live --key new", "rotate_call", {"profile": "a/live", "key": "new"}),
    ("lock", "lock", {}),
]


@pytest.mark.parametrize("line,method,params", SENT, ids=[row[0][:40] for row in SENT])
def test_sent(line, method, params):
    done, asked = ask(answers({}), "--json", *line.split())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
    assert [(a.sock, a.method, a.params, a.files) for a in asked] == [("staff.sock", method, params, [])]


SIGNED = {"headers": {"Client-Id": "C", "Request-Time": "T", "Signature": "S", "Content-Type": "J"}, "uri": "/x?y=1",
          "version": 2, "key_version": 3}


def test_sign_json():
    for result in (SIGNED, {**SIGNED, "url": "https://g/x", "record": "soft:7"},
                   {**SIGNED, "headers": {**SIGNED["headers"], "Agent-Token": "A"}}):
        done, _ = ask(answers({**result, "more": 1}), "--json", "sign", "a/b", "POST", "/", "--body", "-")
        assert done.returncode == 0 and json.loads(done.stdout) == result


@pytest.mark.parametrize("lacks", ["Client-Id", "Request-Time", "Signature", "Content-Type", "uri", "version"])
def test_half_an_answer_is_none(lacks):
    """What lacks a part is not shown at all."""
    result = {k: v for k, v in SIGNED.items() if k != lacks}
    result["headers"] = {k: v for k, v in SIGNED["headers"].items() if k != lacks}
    done, _ = ask(answers(result), "sign", "a/b", "POST", "/", "--body", "-")
    assert done.returncode != 0 and done.stdout == b"" and b"BAD_FRAME" in done.stderr


def test_sign_is_an_ordinary_caller(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\x00\xff\r\n{}")
    line = ["sign", "a/b", "POST", "/x?y=1", "--body", str(body), "--time", "T", "--merchant", "M"]
    done, asked = ask(answers({**SIGNED, "url": "https://g/x", "record": "soft:7"}), *line)
    assert done.stdout == (b"Client-Id: C\nRequest-Time: T\nSignature: S\nContent-Type: J\n\n"
                           b"uri: /x?y=1\nurl: https://g/x\nrecord: soft:7\n")
    assert 0 < asked[0].params.pop("deadline_ms") <= 30000
    assert asked[0].sock == "agent.sock" and asked[0].method == "sign_request"
    assert asked[0].params == {"profile": "a/b", "method": "POST", "uri": "/x?y=1", "time": "T", "merchant": "M",
                               "body": b"\x00\xff\r\n{}"}


@pytest.mark.parametrize("kind", ["response", "notification"])
def test_verify_headers(kind):
    headers = ["Client-Id:C", "X:  a b \t", "empty:", "Set: 1", "set:2", "T: 12:30"]
    line = ["verify", kind, "a/b", "POST", "/n", "--body", "-", "--max-age-ms", "5"]
    for h in headers:
        line += ["--header", h]
    done, asked = ask(answers({"version": 2, "time": "2023", "age_ms": 1234}), *line, input=b"body\n")
    assert done.stdout == b"verified: signed by Antom, with its key version 2\ntime: 2023\nage: 1.234 s\n"
    assert asked[0].method == f"verify_{kind}"
    assert 0 < asked[0].params.pop("deadline_ms") <= 30000
    assert asked[0].params == {
        "profile": "a/b", "method": "POST", "uri": "/n", "max_age_ms": 5, "body": b"body\n",
        "headers": {"Client-Id": "C", "X": "a b", "empty": "", "Set": ["1", "2"], "T": "12:30"}}


@pytest.mark.parametrize("header", ["novalue", ":x", ""])
def test_header_form(header):
    done, asked = ask(answers({}), "verify", "response", "a/b", "POST", "/", "--body", "-", "--header", header)
    assert done.returncode == 2 and b"USAGE" in done.stderr and not asked


def test_body_limit():
    done, asked = ask(answers(SIGNED), "sign", "a/b", "POST", "/", "--body", "-", input=b"x" * (1 << 20))
    assert done.returncode == 0 and len(asked[0].params["body"]) == 1 << 20
    done, asked = ask(answers({}), "sign", "a/b", "POST", "/", "--body", "-", input=b"x" * ((1 << 20) + 1))
    assert done.returncode == 2 and b"BAD_PARAM" in done.stderr and b"1048576" in done.stderr and not asked


# ---- secrets

def test_key_import_passes_a_sealed_memory_file(tmp_path):
    key, phrase = tmp_path / "key", tmp_path / "phrase"
    key.write_bytes(b"-----BEGIN\x00\nkey\n")
    phrase.write_bytes(b" open sesame \r\n")
    done, asked = ask(answers(KEY), "key", "import", "a/b", "--file", str(key), "--passphrase-file", str(phrase))
    assert done.returncode == 0, done.stderr
    assert asked[0].files == [(b"-----BEGIN\x00\nkey\n", SEALED), (b" open sesame ", SEALED)]
    assert asked[0].params == {"profile": "a/b"}


@pytest.mark.parametrize("command,method", [("key import", "key_import"), ("antom-key add", "antom_key_add")])
def test_key_from_standard_input(command, method):
    for size in (1, 65536):
        done, asked = ask(answers(KEY), *command.split(), "a/b", input=b"k" * size)
        assert done.returncode == 0, done.stderr
        assert asked[0].method == method and asked[0].files == [(b"k" * size, SEALED)]
    for bad in (b"", b"k" * 65537):
        done, asked = ask(answers(KEY), *command.split(), "a/b", input=bad)
        assert done.returncode == 2 and b"BAD_PARAM" in done.stderr and not asked


def test_key_file_limits(tmp_path):
    path = tmp_path / "key"
    for content, says in ((b"", b"empty"), (b"k" * 65537, b"65536")):
        path.write_bytes(content)
        done, asked = ask(answers(KEY), "key", "import", "a/b", "--file", str(path))
        assert done.returncode == 2 and says in done.stderr and not asked
    done, _ = ask(answers(KEY), "key", "import", "a/b", "--file", str(tmp_path))
    assert done.returncode == 2 and b"directory" in done.stderr
    done, _ = ask(answers(KEY), "key", "import", "a/b", "--file", str(tmp_path / "none"))
    assert done.returncode == 2 and b"No such file" in done.stderr


def test_encrypted_key_without_a_terminal_asks_nobody():
    done, asked = ask(refuses(129, "KEY_ENCRYPTED", "caller", "needs its passphrase"), "key", "import", "a/b",
                      input=b"key")
    assert done.returncode == 2 and len(asked) == 1
    assert b"--passphrase-file" in done.stderr


def on_terminal(root, *args, say):
    """Run on a terminal of its own; `say` is [(prompt, reply)]. Exit status and all that was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a run in the background has it ignored
        os.execve(CTL, [CTL, "--home", str(root), *args], env(TERM="xterm"))
    shown, waiting, end = b"", list(say), time.monotonic() + 30 * SLOW
    try:
        while time.monotonic() < end:
            if waiting and waiting[0][0] in shown.split(b"\0")[-1]:
                shown += b"\0"  # prompts are looked for behind the last reply
                os.write(fd, waiting.pop(0)[1])
            if not select.select([fd], [], [], 0.1)[0]:
                continue
            piece = os.read(fd, 4096)
            if not piece:
                break
            shown += piece
    except OSError:
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_terminal_passphrase_is_not_shown(tmp_path):
    def script(asked):
        if len(asked.files) == 1:
            raise Refuse(129, "KEY_ENCRYPTED", "caller", "needs its passphrase")
        return KEY
    key = tmp_path / "key"
    key.write_bytes(b"encrypted")
    with FalseAgent(script) as agent:
        status, shown = on_terminal(agent.root, "key", "import", "a/b", "--file", str(key),
                                    say=[(b"Passphrase", b"sesame\n")])
        assert status == 0, shown
        assert b"sesame" not in shown
        assert [a.files for a in agent.asked] == [[(b"encrypted", SEALED)],
                                                  [(b"encrypted", SEALED), (b"sesame", SEALED)]]


def test_terminal_comes_back_after_interrupt():
    with FalseAgent(answers({**STATUS, "state": "locked", "seal": "passphrase"})) as agent:
        status, shown = on_terminal(agent.root, "unlock", say=[(b"Passphrase", b"half\x03")])
        assert status == -2, shown
        assert [a.method for a in agent.asked] == ["status"]


def test_terminal_has_colour_unless_told():
    with FalseAgent(answers(STATUS)) as agent:
        assert b"\x1b[32mready" in on_terminal(agent.root, "status", say=[])[1]
        assert b"\x1b" not in run(agent.root, "status").stdout


UNLOCK = [("passphrase", "locked", b"sesame\n", [(b"sesame", SEALED)]), ("file", "locked", b"", []),
          ("passphrase", "ready", b"", [])]


@pytest.mark.parametrize("seal,state,given,files", UNLOCK)
def test_unlock(seal, state, given, files):
    def script(asked):
        return {**STATUS, "seal": seal, "state": state} if asked.method == "status" else {"state": "ready"}
    done, asked = ask(script, "unlock", input=given)
    assert done.returncode == 0, done.stderr
    assert [a.method for a in asked] == ["status", "unlock"] and asked[1].files == files


# ---- errors

ERRORS = [(104, "BAD_PARAM", "caller", 2), (200, "DENIED", "denied", 3), (300, "LOCKED", "state", 4),
          (400, "UNSIGNED", "verify", 5), (600, "INTERNAL", "internal", 7)]


@pytest.mark.parametrize("code,name,class_,status", ERRORS)
def test_error(code, name, class_, status):
    script = refuses(code, name, class_, "what was wrong", field="uri")
    done, _ = ask(script, "key", "list", "a/b")
    assert done.returncode == status and done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert lines[0] == f"antomctl: {name}: what was wrong" and lines[1].startswith("what to do: ")
    done, _ = ask(script, "key", "list", "a/b", "--json")
    assert done.returncode == status and done.stderr == b""
    assert json.loads(done.stdout) == {"error": {"code": code, "name": name, "class": class_, "field": "uri",
                                                 "message": "what was wrong"}}


def test_error_of_a_later_agent():
    done, _ = ask(refuses(499, "NEW_THING", "verify", "later"), "--json", "app", "list")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 5 and error["code"] == 499 and error["class"] == "verify"


@pytest.mark.parametrize("line,times", [("app list", 2), ("lock", 1), ("key activate a/b 1", 1)])
def test_repeated_once_where_safe(line, times):
    script = refuses(501, "RETRY", "retry", "again", retry_after_ms=10)
    done, asked = ask(script, "--json", *line.split())
    assert done.returncode == 6 and len(asked) == times
    assert json.loads(done.stdout)["error"]["retry_after_ms"] == 10


def test_second_try_counts():
    tries = []

    def script(asked):
        tries.append(asked)
        return b"" if len(tries) == 1 else {"apps": []}
    done, asked = ask(script, "--json", "app", "list")
    assert done.returncode == 0 and len(asked) == 2 and json.loads(done.stdout) == {"apps": []}


def test_closed_before_the_answer():
    done, asked = ask(answers(b""), "--json", "lock")
    assert done.returncode == 6 and json.loads(done.stdout)["error"]["name"] == "RETRY"


BROKEN = [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x02\x93\x01",
          b"\x00\x00\x00\x05\xdd\xff\xff\xff\xff", b"\x00\x00\x00\x09\x94\x01\x01\xc0\xdf\xff\xff\xff\xff"]


@pytest.mark.parametrize("answer", BROKEN, ids=[b.hex() for b in BROKEN])
def test_broken_answers(answer):
    done, _ = ask(answers(answer), "--json", "lock")
    assert done.returncode in (2, 6)
    assert json.loads(done.stdout)["error"]["name"] in ("BAD_FRAME", "FRAME_TOO_LARGE", "RETRY")


def test_events_and_other_answers_are_passed_over():
    def framed(message):
        value = msgpack.packb(message)
        return len(value).to_bytes(4, "big") + value
    stream = framed([2, "draining", {}]) + framed([1, 77, None, {"no": 1}]) + framed([1, 1, None, {"apps": []}])
    done, _ = ask(answers(stream), "--json", "app", "list")
    assert json.loads(done.stdout) == {"apps": []}


def test_refusal_without_an_id():
    value = msgpack.packb([1, None, {"code": 500, "name": "BUSY", "class": "retry", "message": "full"}, None])
    done, _ = ask(answers(len(value).to_bytes(4, "big") + value), "--json", "lock")
    assert json.loads(done.stdout)["error"]["name"] == "BUSY"


def test_nobody_answers(tmp_path):
    done = run(tmp_path, "app", "list")
    assert done.returncode == 6 and str(tmp_path / "staff.sock").encode() in done.stderr
    assert f"antom-agent --home {tmp_path}".encode() in done.stderr
    assert f"what to do: antomctl --home {tmp_path} init".encode() in done.stderr
    (tmp_path / "root.seal").write_bytes(b"")
    assert f"what to do: antom-agent --home {tmp_path}".encode() in run(tmp_path, "app", "list").stderr


# ---- what people see

HOSTILE = "\x1b]0;owned\x07\x1b[2J\nantomctl: all is well\u202e\u009b31m"


def test_hostile_texts_are_escaped():
    key = {**KEY, "state": HOSTILE, "waits_for": HOSTILE, "warning": HOSTILE, "profile": HOSTILE}
    for line, result in (("key list a/b", {"keys": [key]}), ("key activate a/b 1", key),
                         ("key show a/b 1", {**key, "public_key": HOSTILE}),
                         ("status", {**STATUS, "reason": HOSTILE, "profiles": [
                             {"profile": HOSTILE, "sign": HOSTILE, "verify": HOSTILE, "sign_why": HOSTILE}]}),
                         ("sign a/b POST / --body -", {"headers": {HOSTILE: HOSTILE}, "uri": HOSTILE, "url": HOSTILE}),
                         ("doctor", {"checks": [{"check": HOSTILE, "ok": False, "message": HOSTILE}]})):
        for more in ([], ["--json"]):
            done, _ = ask(answers(result), *line.split(), *more)
            shown = (done.stdout + done.stderr).decode()
            for bad in ("\x1b", "\x07", "\u202e", "\u009b"):
                assert bad not in shown, (line, more, bad)
            if "key show" not in line:
                assert "\nantomctl: all is well" not in shown
    done, _ = ask(refuses(600, "INTERNAL", "internal", HOSTILE), "app", "list")
    assert b"\x1b" not in done.stderr and len(done.stderr.splitlines()) == 2


def test_tables_stay_within_100_columns():
    grants = [{"grant": i, "profile": "a-long-application-name/sandbox", "uid": 4294967294, "ops": ["sign", "verify"],
               "methods": [], "paths": ["/ams/api/v1/payments/" + "x" * 40 * i, "/b/**"], "query": False,
               "max_body": 1048576, "rate": 1000000, "burst": 1000000} for i in range(4)]
    done, _ = ask(answers({"grants": grants}), "grant", "list")
    lines = done.stdout.decode().splitlines()
    assert max(map(len, lines)) <= 100
    assert done.stdout.count(b"x") >= sum(40 * i for i in range(4))
    done, _ = ask(answers({"keys": [{**KEY, "state": "suspended", "waits_for": "a person " * 20, "who": "staff",
                                     "until_ms": 4100000000000}] * 3}), "key", "list", "a/b")
    assert max(map(len, done.stdout.decode().splitlines())) <= 100


EMPTY = [("app list", "apps", "app create"), ("key list a/b", "keys", "key generate a/b"),
         ("antom-key list a/b", "antom_keys", "antom-key add a/b"), ("grant list a/b", "grants", "grant add a/b"),
         ("fence list", "fences", None)]


@pytest.mark.parametrize("line,member,then", EMPTY)
def test_empty_lists_say_what_next(line, member, then):
    done, _ = ask(answers({member: []}), *line.split())
    assert done.returncode == 0 and len(done.stdout.splitlines()) >= 1
    if then:
        next_line = done.stdout.decode().splitlines()[-1]
        assert next_line.startswith("next: antomctl --home ") and then in next_line


ROTATION = {"rotation": 7, "profile": "a/live", "state": "approved", "meaning": "m " * 40, "state_ms": 1, "started_ms": 1,
            "uid": 0, "old_key": {"version": 1, "state": "active", "keyring": "soft", "fingerprint": "ab" * 32},
            "new_key": {"version": 2, "state": "staged", "keyring": "k" * 32, "fingerprint": "cd" * 32,
                        "public_key": "QUJD" * 90},
            "armed": True, "auto_rollback": False, "waits_for": "a person " * 20, "who": "staff",
            "until_ms": 4100000000000, "old_probe": {"outcome": "none"},
            "new_probe": {"outcome": "unproven", "at_ms": 1, "said": "\x1b[31mno " * 30, "by_hand": False}, "failures": 0,
            "reason": "", "command": "rotate submit a/live", "next": ["Paste it. " * 20, "Then `antomctl rotate submit a/live`"]}


def test_a_rotation():
    """Fits the terminal but for the key that is there to be copied; what a stranger said does not act on it."""
    done, _ = ask(answers({"rotations": [ROTATION]}), "rotate", "status", "a/live")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if len(line) > 100] == ["QUJD" * 90]
    assert b"\x1b" not in done.stdout
    assert lines[-1].endswith("rotate submit a/live") and lines[-1].startswith("next: antomctl --home ")
    done, _ = ask(answers({"rotations": [ROTATION] * 2}), "rotate", "status")
    assert max(map(len, done.stdout.decode().splitlines())) <= 100
    done, _ = ask(answers({"rotations": []}), "rotate", "status", "a/live")
    assert b"rotate start a/live" in done.stdout


def test_an_answer_by_hand(tmp_path):
    """Headers and body as curl prints them, byte for byte; of several heads the last."""
    body = b'{"a": 1}\r\n\r\n\xff'
    head = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/2 200\r\nClient-Id: C\r\nresponse-time:  T \r\n"
            b"Signature: algorithm=RSA256,signature=x\r\n\r\n")
    path = tmp_path / "answer"
    path.write_bytes(head + body)
    done, asked = ask(answers(ROTATION), "rotate", "answer", "a/live", "--key", "new", "--file", str(path))
    assert done.returncode == 0, done.stderr
    assert asked[0].params == {"profile": "a/live", "key": "new", "client_id": "C", "response_time": "T",
                               "signature": "algorithm=RSA256,signature=x", "body": body}
    path.write_bytes(b"no head")
    done, asked = ask(answers(ROTATION), "rotate", "answer", "a/live", "--key", "new", "--file", str(path))
    assert done.returncode == 2 and b"curl -i" in done.stderr and not asked


def test_export_is_the_key_alone():
    done, _ = ask(answers({"public_key": "QUJD", "fingerprint": "ab" * 32}), "key", "export", "a/b")
    assert done.stdout == b"QUJD\n" and done.stderr == b"ab" * 32 + b"\n"
    pem = "-----BEGIN PUBLIC KEY-----\nQUJD\n-----END PUBLIC KEY-----\n"
    done, _ = ask(answers({"public_key": pem, "fingerprint": "ab" * 32}), "key", "export", "a/b", "--pem")
    assert done.stdout == pem.encode()


def test_status_says_what_to_type():
    profiles = [{"profile": "a/sandbox", "sign": "PROFILE_INCOMPLETE", "sign_why": "x", "verify": "PROFILE_INCOMPLETE"},
                {"profile": "a/live", "sign": "NO_ACTIVE_KEY", "verify": "NO_ANTOM_KEY"},
                {"profile": "b/live", "sign": "ready", "verify": "SOMETHING_NEW", "verify_why": "because of this"},
                {"profile": "c/live", "sign": "NO_ACTIVE_KEY", "verify": "ready",
                 "sign_why": "version 2 is staged; `antomctl key activate c/live 2`"}]
    done, _ = ask(answers({**STATUS, "profiles": profiles}), "status")
    shown = " ".join(done.stdout.decode().split())
    for part in ("profile set a/sandbox --client-id ID", "key generate a/live", "because of this", "key activate c/live 2"):
        assert part in shown
    assert shown.count("profile set a/sandbox") == 1 and "generate c/live" not in shown


def test_commands_the_agent_names_are_made_to_fit_this_home():
    with FalseAgent(refuses(302, "NO_ACTIVE_KEY", "state", "suspended; `antomctl key resume a/b 2`")) as agent:
        done = run(agent.root, "sign", "a/b", "POST", "/", "--body", "-")
        assert f"what to do: antomctl --home {agent.root} key resume a/b 2\n".encode() in done.stderr
    missing = ["client id: `antomctl profile set a/b --client-id ID`", "Antom key: `antomctl antom-key add a/b`"]
    done, _ = ask(answers({"profile": "a/b", "client_id": "", "missing": missing}), "profile", "show", "a/b")
    first, second = done.stdout.decode().splitlines()[-2:]
    assert first.startswith("next: antomctl --home ") and first.endswith("profile set a/b --client-id ID")
    assert second.startswith("next: antomctl --home ") and second.endswith("antom-key add a/b")
    assert "client id, Antom key" in done.stdout.decode()


def test_status_wait_needs_both_sockets():
    calls = []

    def script(asked):
        calls.append(asked.method)
        if asked.method == "status":
            if len(calls) < 3:
                raise Refuse(315, "NOT_READY", "state", "starting")
            return {**STATUS, "state": "locked"}
        if calls.count("hello") < 2:
            return b""
        return {"version": 1}
    done, asked = ask(script, "--json", "status", "--wait", "20")
    assert done.returncode == 0 and json.loads(done.stdout)["state"] == "locked"
    assert calls.count("hello") == 2 and {a.sock for a in asked if a.method == "hello"} == {"agent.sock"}


def test_status_wait_ends():
    begin = time.monotonic()
    done, _ = ask(answers({**STATUS, "state": "starting"}), "--json", "status", "--wait", "1")
    assert done.returncode == 6 and json.loads(done.stdout)["error"]["name"] == "TIMEOUT"
    assert 0.9 < time.monotonic() - begin < 5 * SLOW


def test_status_wait_does_not_wait_for_permission():
    begin = time.monotonic()
    done, _ = ask(refuses(201, "NOT_STAFF", "denied", "not enrolled"), "status", "--wait", "20")
    assert done.returncode == 3 and time.monotonic() - begin < 5 * SLOW


def test_fence_is_removed_by_path():
    def script(asked):
        return {"fences": [{"fence": 8, "profile": "a/b", "path": "/y"}, {"fence": 9, "profile": "a/b", "path": "/x"}]} \
            if asked.method == "fence_list" else {"fence": 9, "profile": "a/b", "path": "/x"}
    done, asked = ask(script, "fence", "remove", "a/b", "--path", "/x")
    assert done.returncode == 0 and asked[-1].params == {"fence": 9}
    done, _ = ask(script, "fence", "remove", "a/b", "--path", "/z")
    assert done.returncode == 4 and b"NOT_FOUND" in done.stderr


def test_output_that_cannot_be_written():
    with FalseAgent(answers(STATUS)) as agent, open("/dev/full", "wb") as full:
        for args in (["status"], ["status", "--json"], ["--help"]):
            done = subprocess.run([CTL, "--home", str(agent.root), *args], stdout=full, stderr=subprocess.PIPE, env=env())
            assert done.returncode == 7 and b"antomctl: IO" in done.stderr, args


def test_home_from_the_environment():
    with FalseAgent(answers({"apps": []})) as agent:
        done = subprocess.run([CTL, "app", "list", "--json"], capture_output=True,
                              env=env(ANTOM_AGENT_HOME=str(agent.root)))
        assert json.loads(done.stdout) == {"apps": []}
        done = subprocess.run([CTL, "--home", str(agent.root), "app", "list", "--json"], capture_output=True,
                              env=env(ANTOM_AGENT_HOME="/nonexistent"))
        assert json.loads(done.stdout) == {"apps": []}
