"""The bench measures what it says, on a real agent, and refuses to print figures of what did not work. No
figure is judged here: machines differ."""
import json
import os
import pathlib
import subprocess
import textwrap

import pytest

import judge
from agent_fixture import BIN, SLOW, Agent
from softhsm import MODULE, PIN, Token
from swtpm import Tpm

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CLIENT_ID = "SANDBOX_5X00000000000001"
OTHER = 10001


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "antom.key"
    key = judge.new_key()
    lines = textwrap.wrap(judge.pkcs8(key), 64)
    path.write_text("\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""]))
    return path, judge.spki(key)


def run(agent, key, *more, socket=None):
    one = [socket or agent.agent_sock, str(agent.process.pid)]
    return subprocess.run([BIN / "antag-bench", "--buffered", one[0], "--buffered-pid", one[1], "--commit", one[0],
                           "--commit-pid", one[1], "--key", key, "--rounds", "7", "--ms", "20", *more],
                          capture_output=True, timeout=240 * SLOW, text=True, env=agent.env())


def test_figures(agent, keys, tmp_path):
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=keys[1])
    done = run(agent, keys[0], "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "figures.json").read_text())
    for op in ("sign", "verify"):
        rows = told[op]
        assert set(rows) == {"raw1", "raw_all", "c1", "c16", "pipelined"} | ({"commit"} if op == "sign" else set())
        for shape, row in rows.items():
            assert row["rate"] > 0 and row["cpu_us"]["client"] > 0, (op, shape)
            low, high = row["rate_spread"]
            assert low <= row["rate"] <= high
        for shape in ("c16", "pipelined"):
            assert rows[shape]["ratio"] > 0
            assert rows[shape]["cpu_us"]["front"] > 0
        assert rows["c1"]["p50_added_us"] == rows["c1"]["p50_added_us"]  # a number
        assert 0 < rows["c1"]["p50_us"] <= rows["c1"]["p99_us"]
    assert told["sign"]["pipelined"]["cpu_us"]["keeper"] > told["verify"]["pipelined"]["cpu_us"]["keeper"]
    assert told["rounds"] == 7 and told["cores"] == os.cpu_count()
    lines = done.stdout.splitlines()
    assert len([x for x in lines if x.startswith(("sign", "verify"))]) == 11 + 3  # rows, and where lone requests spend their time
    assert told["machine"].count(",") == 3
    assert max(map(len, lines)) <= 120


def test_the_signatures_are_real(agent, keys):
    """What it counted stands in the record."""
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=keys[1])
    assert run(agent, keys[0]).returncode == 0
    agent.stop()
    found = agent.ctl("audit", "show", "soft", "--type", "sign", "--last", 1000)["lines"]
    assert len(found) > 7 * 4 and {o["profile"] for o in found} == {"shop/sandbox"}


def test_a_refusal_is_no_figure(agent, keys):
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=keys[1], ops="verify")
    done = run(agent, keys[0])
    assert done.returncode == 1 and "DENIED" in done.stderr and "a second" not in done.stdout


def test_an_antom_key_of_another(agent, keys):
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=judge.spki(judge.new_key()))
    done = run(agent, keys[0])
    assert done.returncode == 1 and "SIGNATURE_INVALID" in done.stderr and "a second" not in done.stdout


@pytest.mark.parametrize("more, says", [
    (["--rounds", "6"], "usage"), (["--ms", "1"], "usage"), (["--what"], "usage"), (["x"], "usage"),
])
def test_usage(shared_agent, keys, more, says):
    done = run(shared_agent, keys[0], *more)
    assert done.returncode == 2 and says in done.stderr


def test_what_is_not_there(shared_agent, keys, tmp_path):
    done = run(shared_agent, keys[0], socket=str(tmp_path / "no.sock"))
    assert done.returncode == 1 and "no.sock: No such file" in done.stderr
    (tmp_path / "no.key").write_text("nothing")
    done = run(shared_agent, tmp_path / "no.key")
    assert done.returncode == 1 and "no private key" in done.stderr


def crowd(agent, key, *more):
    return subprocess.run([BIN / "antag-crowd", "--socket", agent.agent_sock, "--pid", str(agent.process.pid),
                           "--key", key, "--other-uid", str(OTHER), "--rounds", "3", "--ms", "100", *more],
                          capture_output=True, timeout=120 * SLOW, text=True, env=agent.env())


def test_crowd(agent, keys, tmp_path):
    agent.make_profile("shop", "sandbox", CLIENT_ID, antom_key=keys[1])
    done = crowd(agent, keys[0])
    assert done.returncode == 1 and "DENIED" in done.stderr  # the other caller has no grant, and this is seen
    agent.ctl("grant", "add", "shop/sandbox", "--uid", OTHER, "--ops", "sign")
    done = crowd(agent, keys[0], "--json", tmp_path / "crowd.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "crowd.json").read_text())
    assert set(told) == {"greedy", "overload"}
    assert all(told["greedy"][f"{row}_p99_us"] > 0 for row in ("alone", "share", "greedy"))
    assert 0 < told["overload"]["goodput"] and told["overload"]["capacity"] > 0
    assert "beside one that has 10 in flight" in done.stdout and "is answered BUSY" in done.stdout


@pytest.mark.parametrize("args", [["--json"], ["--slow"], ["x"]])
def test_script_usage(args):
    done = subprocess.run([SOURCE / "packaging/bench", *args], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "usage: packaging/bench" in done.stderr


def test_agent_that_ends(keys):
    a = Agent()
    try:
        a.start()
        a.make_profile("shop", "sandbox", CLIENT_ID, antom_key=keys[1])
        socket, pid = a.agent_sock, a.process.pid
        a.kill()
        done = subprocess.run([BIN / "antag-bench", "--buffered", socket, "--buffered-pid", str(pid), "--commit", socket,
                               "--commit-pid", str(pid), "--key", keys[0], "--rounds", "7", "--ms", "20"],
                              capture_output=True, timeout=60 * SLOW, text=True, env=a.env())
        assert done.returncode == 1 and "failed" in done.stderr
    finally:
        a.remove()


def rawring(*args, **env):
    return subprocess.run([BIN / "antag-rawring", *map(str, args)], capture_output=True, text=True, timeout=60 * SLOW,
                          env={**os.environ, **env})


def test_raw_devices(tmp_path):
    """What keyrings are compared with signs, and says so where it cannot."""
    token, tpm = Token(tmp_path), Tpm(tmp_path)
    settings = {"SOFTHSM2_CONF": str(token.settings)}
    try:
        for done in (rawring("pkcs11", MODULE, token.label, PIN, 2, 200, **settings),
                     rawring("tpm", f"swtpm:path={tpm.server}", 200)):
            assert done.returncode == 0 and float(done.stdout) > 1, done.stderr
        for done, says in ((rawring("pkcs11", MODULE, "another", PIN, 1, 200, **settings), "the token"),
                           (rawring("pkcs11", MODULE, token.label, "9999", 1, 200, **settings), "the PIN"),
                           (rawring("tpm", f"swtpm:path={tmp_path}/nowhere", 200), "no TPM answers"),
                           (rawring("agent", tmp_path / "nowhere", "5X1", 200), "")):
            assert done.returncode == 1 and not done.stdout and says in done.stderr, done.stderr
    finally:
        tpm.kill()
    assert rawring("pkcs11").returncode == 2


# ---- what changed between two runs


def row(rate, ratio, noise=0.02):
    around = lambda v: [v * (1 - noise), v * (1 + noise)]  # noqa: E731
    return {"rate": rate, "rate_spread": around(rate), "ratio": ratio, "ratio_spread": around(ratio)}


@pytest.mark.parametrize("old, new, same_machine, says", [
    (row(1000, 0.9), row(1005, 0.9), True, "2 figures compared, 0 changed"), (row(1000, 0.9), row(800, 0.7), True, "2 changed"),
    (row(1000, 0.9), row(800, 0.9), False, "1 figures compared, 0 changed"), (row(1000, 0.9), row(1000, 0.7), False, "WORSE"),
    (row(1000, 0.7), row(1000, 0.9), False, "better"), (row(1000, 0.9, 0.3), row(1000, 0.7, 0.3), True, "0 changed")])
def test_compare(tmp_path, old, new, same_machine, says):
    """Beyond noise, and across machines only what is held against raw."""
    for name, one, machine in (("old", old, "a"), ("new", new, "a" if same_machine else "b")):
        (tmp_path / name).write_text(json.dumps({"machine": machine, "sign": {"c16": one}, "verify": {}}))
    done = subprocess.run(["/usr/bin/python3", SOURCE / "tests/bench/compare.py", tmp_path / "old", tmp_path / "new"], capture_output=True, text=True)
    assert says in done.stdout, done.stdout
    assert done.returncode == (1 if "WORSE" in done.stdout else 0)


def test_compare_misses_a_row(tmp_path):
    (tmp_path / "old").write_text(json.dumps({"machine": "a", "sign": {"c16": row(1, 1), "c1": row(1, 1)}}))
    (tmp_path / "new").write_text(json.dumps({"machine": "a", "sign": {"c16": row(1, 1)}}))
    done = subprocess.run(["/usr/bin/python3", SOURCE / "tests/bench/compare.py", tmp_path / "old", tmp_path / "new"], capture_output=True, text=True)
    assert done.returncode == 1 and "gone" in done.stdout


def test_the_accepted_figures():
    """baseline.json is of a whole run, and says on what machine."""
    kept = json.loads((SOURCE / "tests/bench/baseline.json").read_text())
    assert kept["machine"] and kept["rounds"] >= 15
    assert {"c1", "commit", "c16"} <= set(kept["sign"]) and {"c1", "c16"} <= set(kept["verify"])
