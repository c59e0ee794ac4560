"""The record: a line for every signature that may have left, on real files, judged by a reader of its own
(chain_judge). Disks that refuse do so by the kernel's own word: a limit on the keeper's file size."""
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest

import chain_judge
import judge
from agent_fixture import SLOW, Agent
from antom_client import AntomError, Client

CLIENT = "SANDBOX_5X00000000000001"
PROFILE = "shop/sandbox"
PAY, SENT = "/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"
NOBODY = 4242  # a uid without any rights here


@pytest.fixture
def fresh():
    made = []

    def make(conf=""):
        a = Agent(conf=conf)
        made.append(a)
        a.start()
        a.make_profile("shop", "sandbox", CLIENT)
        return a

    yield make
    for a in made:
        a.remove()


@pytest.fixture(scope="module")
def agent():
    a = Agent()
    try:
        a.start()
        a.make_profile("shop", "sandbox", CLIENT)
        yield a
    finally:
        a.remove()


def sign(client, body=b"{}", uri=PAY, **more):
    return client.call("sign_request", profile=PROFILE, method="POST", uri=uri, body=body, **more)


def digest(got, body=b"{}", uri=SENT):
    text = judge.string_to_sign("POST", uri, CLIENT, got["headers"]["Request-Time"], body)
    return hashlib.sha256(text).hexdigest()


def chain(agent):
    return chain_judge.Chain(agent.home / "audit", "soft")


def wait_until(what, condition, seconds=20):
    end = time.monotonic() + seconds * SLOW
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds * SLOW} s"
        time.sleep(0.02)


def signs(client):
    """Whether a signature is to be had."""
    try:
        sign(client)
    except AntomError as error:
        assert error.name == "AUDIT", error
        return False
    return True


# ---- what a line says


def test_line(agent):
    trace = 'order "7"\\ \n é \U0001f511'
    with Client(agent.agent_sock) as c:
        got = sign(c, b"\x00\xff", PAY, trace=trace)
    line = chain(agent).of(got["record"])
    assert {k: v for k, v in line.items() if k not in ("seq", "time", "prev", "hash", "handle", "profile_id")} == {
        "v": 1, "chain": "soft", "type": "sign", "uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(),
        "profile": PROFILE, "env": "sandbox", "client_id": CLIENT, "version": 1, "method": "POST", "path": SENT,
        "digest": digest(got, b"\x00\xff"), "trace": trace}
    assert "\\n" not in line["time"] and line["time"].endswith("Z")


def test_no_query_and_no_body(agent):
    """Nothing of what may be personal or secret stands in it."""
    agent.ctl("grant", "add", PROFILE, "--uid", os.getuid(), "--ops", "sign", "--path", "/ams/api/**", "--query")
    with Client(agent.agent_sock) as c:
        got = sign(c, b'{"card":"4111111111111111"}', PAY + "?token=geheim")
    text = (agent.home / "audit/soft/00000001.jsonl").read_text()
    assert "4111111111111111" not in text and "geheim" not in text and got["headers"]["Signature"].split("=")[-1] not in text
    assert chain(agent).of(got["record"])["path"] == SENT


def test_each_has_its_own(agent):
    with Client(agent.agent_sock) as c:
        ids = [c.send("sign_request", profile=PROFILE, method="POST", uri=PAY, body=b"%d" % i) for i in range(100)]
        got = {i: c.collect(id_) for i, id_ in enumerate(ids)}
    all_lines = chain(agent)
    assert len({g["record"] for g in got.values()}) == 100
    for i, g in got.items():
        assert all_lines.of(g["record"])["digest"] == digest(g, b"%d" % i)


def signed(agent):
    """Lines of signatures: a head or a checkpoint may come at any time."""
    return [seq for seq, line in chain(agent).lines.items() if line["type"] in ("sign", "outcome")]


@pytest.mark.parametrize("params", [{"profile": "shop/live"}, {"method": "post"}, {"uri": "x"}, {"time": "1"},
                                    {"uri": "/ams/api/v1/meter/uploadEvent"}, {"trace": "x" * 129}])
def test_what_is_refused_leaves_no_line(agent, params):
    before = signed(agent)
    with Client(agent.agent_sock) as c, pytest.raises(AntomError):
        c.call("sign_request", **{"profile": PROFILE, "method": "POST", "uri": PAY, "body": b"", **params})
    assert signed(agent) == before


# ---- segments


def test_restart_and_rotation(fresh):
    a = fresh("[audit]\nsegment_max_bytes = 65536\nreserve_bytes = 0\n")
    assert not (a.home / "audit/soft/reserve").exists()
    records = []
    for _ in range(2):
        with Client(a.agent_sock) as c:
            records += [sign(c)["record"] for _ in range(150)]
        a.stop()
        a.start()
    a.stop()
    all_lines = chain(a)
    assert [all_lines.of(r)["type"] for r in records] == ["sign"] * 300
    assert len(all_lines.files) == 5  # two of the first run, two of the second, one of the third
    last = list(all_lines.lines.values())[-1]
    assert last["type"] == "checkpoint" and all_lines.checkpoints >= 5 and all_lines.torn == 0
    shown = a.ctl("audit", "verify", "soft")["chains"]
    assert [(o["segments"], o["lines"], o["last_seq"], o["last_hash"], o["checkpoints"], o["broken"]) for o in shown] == \
           [(5, len(all_lines.lines), all_lines.last, all_lines.last_hash, all_lines.checkpoints, 0)]


@pytest.mark.parametrize("durability", ["commit", "buffered"])
def test_killed_whole(fresh, durability):
    """SIGKILL of everything: the kernel has what was answered."""
    a = fresh(f"[audit]\ndurability = {durability}\n")
    with Client(a.agent_sock) as c:
        records = [sign(c)["record"] for _ in range(50)]
        a.kill()
    all_lines = chain(a)
    assert [all_lines.of(r)["type"] for r in records] == ["sign"] * 50
    a.start()
    with Client(a.agent_sock) as c:
        record = sign(c)["record"]
    assert chain(a).of(record)["seq"] > all_lines.last


# ---- disks and files that fail


def limit_files(agent, size):
    pid = agent.pid_of("keeper", "soft")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_no_room(fresh):
    """Refused by name; stops and all else go on; with room again so does signing, and nothing is lost."""
    a = fresh()
    a.ctl("key", "generate", PROFILE)
    with Client(a.agent_sock, timeout=20 * SLOW) as c:
        first = [sign(c)["record"] for _ in range(3)]
        limit_files(a, (a.home / "audit/soft/00000001.jsonl").stat().st_size + 100)
        wait_until("signing to be refused", lambda: not signs(c))
        with pytest.raises(AntomError) as caught:
            sign(c)
        assert caught.value.class_ == "state"
        assert c.call("health")["state"] == "ready"
        assert a.ctl("key", "suspend", PROFILE, 2)["state"] == "suspended"  # stops always act
        assert a.ctl("audit", "verify")["broken"] == 0
        limit_files(a, resource.RLIM_INFINITY)
        wait_until("signing to go on", lambda: signs(c))
        last = sign(c)["record"]
    all_lines = chain(a)
    for record in [*first, last]:
        assert all_lines.of(record)["type"] == "sign"
    assert "audit.stuck" in a.log_text() and "audit.goes_on" in a.log_text()


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "folder moved"])
def test_taken_away(fresh, how):
    """The file under the keeper's hands: what was answered stands in the next one."""
    a = fresh()
    path = a.home / "audit/soft/00000001.jsonl"
    with Client(a.agent_sock, timeout=20 * SLOW) as c:
        records = [sign(c)["record"] for _ in range(5)]
        if how == "deleted":
            path.unlink()
        elif how == "moved":
            path.rename(a.root / "away")
        elif how == "replaced":
            path.unlink()
            path.write_text("")
        else:
            (a.home / "audit/soft").rename(a.root / "away")
        records += [sign(c)["record"] for _ in range(5)]
    if how == "folder moved":  # the keeper holds the folder, wherever it lies
        (a.root / "away").rename(a.home / "audit/soft")
    elif how != "replaced":
        path.touch(mode=0o600)  # the judge wants no gap in the numbers
    else:
        path.chmod(0o600)
    all_lines = chain(a)
    assert [all_lines.of(r)["type"] for r in records] == ["sign"] * 10
    assert a.ctl("audit", "verify")["broken"] == 0


def test_folder_in_the_way(fresh):
    a = fresh()
    a.stop()
    shutil.move(a.home / "audit", a.root / "kept")
    (a.home / "audit").write_text("")
    a.start()
    with Client(a.agent_sock) as c:
        assert not signs(c)
        assert "Not a directory" in a.log_text()
        (a.home / "audit").unlink()
        shutil.move(a.root / "kept", a.home / "audit")
        wait_until("signing to go on", lambda: signs(c))
    chain(a)


def test_held_by_another(fresh):
    """Two writers never share a chain."""
    a = fresh()
    a.stop()
    holder = subprocess.Popen(["flock", str(a.home / "audit/soft"), "sleep", "1000"])
    try:
        wait_until("the lock", lambda: subprocess.run(["flock", "-n", str(a.home / "audit/soft"), "true"]).returncode)
        a.start()
        with Client(a.agent_sock) as c:
            assert not signs(c)
            assert "another process" in a.log_text()
            subprocess.run(["pkill", "-P", str(holder.pid)])
            holder.wait()
            wait_until("signing to go on", lambda: signs(c))
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()


# ---- antomctl audit


def test_find(agent, tmp_path):
    body = tmp_path / "pay.json"
    body.write_bytes(b'{"find":1}')
    with Client(agent.agent_sock) as c:
        got = sign(c, body.read_bytes(), trace="find é me")
    at, time_text = got["record"], got["headers"]["Request-Time"]
    message = ["--client-id", CLIENT, "--time", time_text, "--body", body]
    for args in (["POST", PAY, *message], ["POST", SENT, *message], ["--record", at], ["--trace", "find é me"],
                 ["--digest", digest(got, body.read_bytes())], ["--record", at, "--profile", PROFILE]):
        found = agent.ctl("audit", "find", *args)["lines"]
        assert [f"{o['chain']}:{o['seq']}" for o in found] == [at], args
    for args in (["PUT", PAY, *message], ["POST", PAY + "x", *message],
                 ["POST", PAY, "--client-id", CLIENT, "--time", time_text, "--body", "/dev/null"],
                 ["POST", PAY, "--client-id", CLIENT + "1", "--time", time_text, "--body", body],
                 ["--trace", "find"], ["--digest", "0" * 64], ["--record", "soft:999999"],
                 ["--record", at, "--profile", "shop/live"]):
        done = agent.ctl_raw("--json", "audit", "find", *args)
        assert done.returncode == 4 and json.loads(done.stdout)["lines"] == [], args
    shown = agent.ctl_raw("audit", "find", "--record", at).stdout.decode()
    assert at in shown and PROFILE in shown and f"uid {os.getuid()}" in shown
    assert "not found" in agent.ctl_raw("audit", "find", "--trace", "nothing").stdout.decode()


@pytest.mark.parametrize("args, says", [
    ([], "say what to look for"), (["POST"], "all of"), (["POST", PAY, "--time", "1"], "all of"),
    (["--record", "soft"], "CHAIN:SEQ"), (["--record", "soft:0"], "CHAIN:SEQ"), (["--record", "soft:x"], "CHAIN:SEQ"),
    (["--digest", "00"], "64 hex digits"), (["--digest", "g" * 64], "64 hex digits"),
    (["POST", PAY, "--client-id", CLIENT, "--time", "1700000000000", "--body", "/dev/null", "--digest", "0" * 64], "exclude")])
def test_find_refuses(agent, args, says):
    assert says in agent.refused("USAGE", "audit", "find", *args)


def test_find_names_what_is_not_there(agent):
    assert "hsm" in agent.refused("NOT_FOUND", "audit", "find", "--record", "hsm:1")
    assert "there are: soft" in agent.refused("NOT_FOUND", "audit", "verify", "hsm")
    assert "there are: soft" in agent.refused("NOT_FOUND", "audit", "show", "hsm")
    for last in ("0", "1001", "x", "-1"):
        agent.refused("USAGE", "audit", "show", f"--last={last}")


def test_show(agent):
    with Client(agent.agent_sock) as c:
        records = [sign(c)["record"] for _ in range(25)]
    lines = agent.ctl("audit", "show")["lines"]
    assert [f"{o['chain']}:{o['seq']}" for o in lines] == records[-20:]
    assert sorted((o["chain"], o["type"]) for o in agent.ctl("audit", "show", "--type", "segment")["lines"]) == \
        [("soft", "segment"), ("steward", "segment")]
    everything = agent.ctl("audit", "show", "--type", "all", "--last", 1000)["lines"]
    assert {o["type"] for o in everything} >= {"segment", "head", "deed", "sign"}
    assert [o["time"] for o in everything] == sorted(o["time"] for o in everything)
    assert len(agent.ctl("audit", "show", "soft", "--last", 3, "--profile", PROFILE)["lines"]) == 3
    assert {line["type"] for line in agent.ctl("audit", "show", "--profile", "shop/live")["lines"]} <= {"refused"}
    shown = agent.ctl_raw("audit", "show").stdout.decode()
    assert records[-1] in shown and max(map(len, shown.splitlines())) <= 100


def test_without_the_agent(fresh):
    a = fresh()
    with Client(a.agent_sock) as c:
        record = sign(c)["record"]
    a.ctl("lock")
    assert a.ctl("audit", "verify")["broken"] == 0
    a.stop()
    assert len(a.ctl("audit", "find", "--record", record)["lines"]) == 1
    path = a.home / "audit/soft/00000001.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"method":"POST"', '"method":"GOST"', 1))
    line = text[:text.index('"method":"POST"')].count("\n") + 1
    done = a.ctl_raw("--json", "audit", "verify")
    told = json.loads(done.stdout)
    assert done.returncode == 5 and told["broken"] == 1
    found = told["chains"][0]["findings"][0]
    assert (found["segment"], found["line"]) == (1, line)
    shown = a.ctl_raw("audit", "verify").stdout.decode()
    assert "BROKEN" in shown and f"soft/00000001.jsonl:{line}" in shown and max(map(len, shown.splitlines())) <= 100
    done = a.ctl_raw("audit", "find", "--trace", "x")
    assert done.returncode == 4 and "not whole" in done.stdout.decode()  # a No that cannot be relied on
    with pytest.raises(chain_judge.Wrong):
        chain(a)


def test_before_the_first_start():
    a = Agent()
    try:
        assert "begins when the agent starts" in a.refused("NOT_FOUND", "audit", "verify")
    finally:
        a.remove()


def test_of_another_user(agent):
    done = agent.ctl_raw("--json", "audit", "verify", uid=NOBODY)
    error = json.loads(done.stdout)["error"]
    assert error["name"] == "IO" and "agent's own user" in error["message"]


def test_configuration(fresh):
    """A keyring cannot take the name of the steward's chain."""
    a = Agent(conf="[keyring steward]\n")
    try:
        done = subprocess.run(a.agent_command(), capture_output=True, timeout=60 * SLOW, env=a.env())
        assert done.returncode != 0 and b"steward" in done.stderr
    finally:
        a.remove()
