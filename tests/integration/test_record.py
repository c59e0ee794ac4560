"""The steward's own chain: what staff did, a row of the same transaction, copied afterwards; chains that note
each other's heads; a registry that is older than the record. Judged by chain_judge."""
import json
import os
import shutil

import pytest

import chain_judge
import judge
from agent_fixture import Agent
from antom_client import AntomError, Client
from signing import LIVE, PAY, SANDBOX, refusal, sign, wait_until


@pytest.fixture
def agent():
    a = Agent()
    try:
        a.start()
        a.make_profile("shop", "live", "5X00000000000001")
        a.make_profile("shop", "sandbox", "SANDBOX_5X00000000000001")
        yield a
    finally:
        a.remove()


def record(agent):
    return chain_judge.Record(agent.home / "audit")


def deeds(agent):
    return record(agent).chains["steward"].deeds()


# ---- deeds


def test_what_staff_did(agent):
    agent.ctl("key", "suspend", LIVE, 1, "--reason", "drill \"3\"")
    agent.ctl("key", "resume", LIVE, 1)
    agent.ctl("key", "set", LIVE, 1, "--key-version", 7)
    agent.ctl("fence", "add", LIVE, "--path", "/ams/sandbox/api/v1/ping")
    agent.ctl("fence", "remove", 1)
    grant = agent.ctl("grant", "add", LIVE, "--uid", 4711, "--ops", "sign")["grant"]
    agent.ctl("grant", "remove", grant)
    agent.ctl("antom-key", "add", LIVE, input=judge.spki(judge.new_key()))
    agent.ctl("antom-key", "revoke", LIVE, 1)
    agent.ctl("lock")
    agent.ctl("unlock")
    agent.stop()
    lines = deeds(agent)
    said = [(d["what"], d.get("subject"), d.get("handle"), d.get("detail")) for d in lines]
    assert all(d["uid"] == os.getuid() for d in lines)
    assert said[0] == ("app_create", "shop", None, "merchant, SG, Checkout")
    assert said[2:4] == [("key_intent", LIVE, None, "version 1 in keyring soft"),
                         ("key_generate", LIVE, 1, "version 1 in keyring soft, active")]
    assert said[9:] == [
        ("key_suspend", LIVE, 1, 'version 1: drill "3"'),
        ("key_resume", LIVE, 1, "version 1"),
        ("key_set", LIVE, 1, "version 1: key_version 7"),
        ("fence_add", LIVE, None, "/ams/sandbox/api/v1/ping"),
        ("fence_remove", LIVE, None, "/ams/sandbox/api/v1/ping"),
        ("grant_add", LIVE, None, "uid 4711: sign"),
        ("grant_remove", LIVE, None, f"grant {grant}: uid 4711: sign"),
        ("antom_key_add", LIVE, None, "version 1"),
        ("antom_key_revoke", LIVE, None, "version 1"),
        ("lock", None, None, None),
        ("unlock", None, None, None),
    ]
    assert [d["deed"] for d in lines] == list(range(1, len(lines) + 1))


def test_looks_and_refusals_are_no_deeds(agent):
    agent.stop()
    before = len(deeds(agent))
    agent.start()
    agent.ctl("status")
    agent.ctl("key", "list", LIVE)
    agent.refused("KEY_STATE", "key", "activate", LIVE, 1)
    agent.refused("EXISTS", "app", "create", "shop", "--role", "merchant", "--region", "SG", "--product", "Checkout",
                  "--currency", "USD")
    agent.refused("NOT_STAFF", "key", "generate", LIVE, uid=4242)
    agent.stop()
    assert len(deeds(agent)) == before


def test_shown_together(agent):
    sign(agent, LIVE)
    lines = agent.ctl("audit", "show", "--profile", LIVE, "--last", 1000)["lines"]
    assert [o["type"] for o in lines] == ["deed"] * 4 + ["sign"]
    shown = agent.ctl_raw("audit", "show", "steward").stdout.decode()
    assert f"uid {os.getuid()} key_generate {LIVE} version 1 in keyring soft, active" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 100


def test_waits_in_its_row(agent):
    """A chain that cannot be opened holds nothing up; what was done then is copied once it can."""
    agent.stop()
    count = len(deeds(agent))
    folder, aside = agent.home / "audit/steward", agent.root / "aside"
    folder.rename(aside)
    folder.write_text("in the way")
    agent.start()
    agent.ctl("key", "suspend", LIVE, 1)
    agent.ctl("key", "resume", LIVE, 1)
    assert agent.log_text().count("record.waits") == 1  # said once, not with every change
    agent.stop()
    folder.unlink()
    aside.rename(folder)
    agent.start()
    agent.ctl("key", "set", LIVE, 1, "--key-version", 2)
    agent.stop()
    lines = deeds(agent)
    assert [d["what"] for d in lines[count:]] == ["key_suspend", "key_resume", "key_set"]
    agent.start()
    agent.stop()
    assert deeds(agent) == lines  # none twice
    assert agent.ctl("audit", "verify")["broken"] == 0


def test_trace_to_log_and_record():
    """What a caller gives as trace is found in the log, where it was refused, and in the record, where it was not. It
    cannot make a line or a field of its own there."""
    evil = 'a" uid=0\nerror audit.cut \x1b[31m'
    with Agent(conf="[log]\nlevel = debug\n") as a:
        a.make_profile("shop", "sandbox", "SANDBOX_5X00000000000001")
        with Client(a.agent_sock) as c:
            common = dict(profile=SANDBOX, method="POST", body=b"{}")
            assert c.call("sign_request", uri=PAY, trace=evil, **common)["record"]
            for trace, more in (("t-1", dict(profile="no/sandbox")), ("t-2", dict(time="1"))):
                with pytest.raises(AntomError):
                    c.call("sign_request", **{**dict(uri=PAY, trace=trace), **common, **more})
            with pytest.raises(AntomError):
                c.call("verify_response", uri=PAY, headers={}, trace=evil, **common)
        a.stop()
        refused = [x for x in a.log_text().splitlines() if " request.refused " in x]
        assert [x.split("trace=")[1] for x in refused[:2]] == ["t-1", "t-2"] and "error=DENIED" in refused[0]
        assert len(refused) == 3 and "\x1b" not in refused[2] and 'trace="a\\" uid=0' in refused[2]
        [line] = record(a).chains["soft"].signs()
        assert line["trace"] == evil
        assert len(a.ctl("audit", "find", "--trace", evil)["lines"]) == 1


# ---- chains that note each other


def last_lines_cut(path, count):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-count]))


def last_file(agent, name):
    return sorted((agent.home / "audit" / name).glob("*.jsonl"))[-1]


def noted(agent):
    """Chains with a signature and a deed that the other has noted."""
    sign(agent, SANDBOX)
    agent.ctl("key", "suspend", LIVE, 1)

    def both():
        steward = record(agent).chains["steward"]
        heads = [x for x in record(agent).chains["soft"].lines.values() if x["type"] == "head"]
        return heads and heads[-1]["at_seq"] >= max(d["seq"] for d in steward.deeds())

    wait_until("the keeper to note the deed", both)
    agent.stop()
    agent.start()  # a new keeper is asked for its head at once
    wait_until("the steward to note the signature", lambda: [
        x for x in record(agent).chains["steward"].lines.values()
        if x["type"] == "head" and x["at_seq"] >= record(agent).chains["soft"].signs()[-1]["seq"]])
    agent.stop()
    assert record(agent).noted > 2
    assert agent.ctl("audit", "verify")["broken"] == 0


@pytest.mark.parametrize("cut, by", [("soft", "steward"), ("steward", "soft")])
def test_cut_tail(agent, cut, by):
    noted(agent)
    for path in sorted((agent.home / "audit" / cut).glob("*.jsonl"))[1:]:
        path.unlink()
    last_lines_cut(last_file(agent, cut), 1)
    done = agent.ctl_raw("--json", "audit", "verify")
    assert done.returncode == 5
    text = " ".join(done.stdout.decode().split())
    assert f"{by}:" in text and "cut off" in text
    with pytest.raises(chain_judge.Wrong, match="cut off"):
        record(agent)


def test_cut_tail_is_found_by_the_next_writer(agent):
    noted(agent)
    for path in sorted((agent.home / "audit/soft").glob("*.jsonl"))[1:]:
        path.unlink()
    last_lines_cut(last_file(agent, "soft"), 1)
    agent.start()
    wait_until("the keeper to be told", lambda: "audit.cut" in agent.log_text())
    agent.stop()
    found = agent.ctl_raw("--json", "audit", "verify")
    assert found.returncode == 5 and b"when this writer began" in found.stdout


def test_written_anew(agent):
    """The chain of another home in its place: whole in itself, and not what the other chain noted."""
    noted(agent)
    with Agent() as other:
        other.make_profile("shop", "live", "5X00000000000001")
        other.make_profile("shop", "sandbox", "SANDBOX_5X00000000000001")
        noted(other)
        shutil.rmtree(agent.home / "audit/soft")
        shutil.copytree(other.home / "audit/soft", agent.home / "audit/soft")
    done = agent.ctl_raw("--json", "audit", "verify")
    assert done.returncode == 5 and b"it was written anew" in done.stdout


def test_both_tails_cut(agent):
    """What the files cannot show, as PROTOCOL.md says: all chains cut to before they noted each other."""
    agent.stop()
    for name in ("soft", "steward"):
        files = sorted((agent.home / "audit" / name).glob("*.jsonl"))
        for path in files[1:]:
            path.unlink()
        lines = files[0].read_bytes().splitlines(keepends=True)
        files[0].write_bytes(lines[0])
    assert agent.ctl("audit", "verify")["broken"] == 0


# ---- a registry that is older than the record


def set_back(agent, change):
    """The registry of before `change`, with the record of after it."""
    agent.stop()
    saved = agent.root / "registry.saved"
    shutil.copy(agent.home / "registry.db", saved)
    agent.start()
    change()
    agent.stop()
    shutil.copy(saved, agent.home / "registry.db")
    agent.start()
    return agent.ctl("status")


def test_rolled_back(agent):
    status = set_back(agent, lambda: agent.ctl("key", "set", LIVE, 1, "--key-version", 2))
    assert status["record_epoch"] > status["epoch"]
    error = refusal(agent, LIVE)
    assert error.name == "ROLLED_BACK" and error.class_ == "state" and "registry confirm" in error.message
    sign(agent, SANDBOX)
    assert "registry confirm" in agent.refused("ROLLED_BACK", "seal", "change", "passphrase", input="correct horse")
    doctor = json.loads(agent.ctl_raw("--json", "doctor").stdout)
    assert [c for c in doctor["checks"] if c["check"] == "rolled_back" and not c["ok"]]
    assert {p["profile"]: p["sign"] for p in status["profiles"]} == {LIVE: "ROLLED_BACK", SANDBOX: "ready"}
    # neither work on the registry nor a restart makes it right
    for n in range(4):
        agent.ctl("key", "set", SANDBOX, 1, "--key-version", n + 1)
    assert agent.ctl("status")["epoch"] > status["record_epoch"]
    agent.stop()
    agent.start()
    assert refusal(agent, LIVE).name == "ROLLED_BACK"
    assert agent.ctl("status")["record_epoch"] == status["record_epoch"]

    said = agent.refused("BAD_PARAM", "registry", "confirm", "--record-epoch", status["record_epoch"] + 1, "--reason", "x")
    assert str(status["record_epoch"]) in said
    agent.refused("NOT_STAFF", "registry", "confirm", "--record-epoch", status["record_epoch"], "--reason", "x", uid=4242)
    assert refusal(agent, LIVE).name == "ROLLED_BACK"
    done = agent.ctl("registry", "confirm", "--record-epoch", status["record_epoch"], "--reason", "restored on purpose")
    assert done["epoch"] > status["record_epoch"]
    sign(agent, LIVE)
    agent.stop()
    agent.start()
    sign(agent, LIVE)
    assert "record_epoch" not in agent.ctl("status")
    agent.refused("NOT_FOUND", "registry", "confirm", "--record-epoch", status["record_epoch"], "--reason", "again")
    agent.stop()
    assert agent.ctl("audit", "verify")["broken"] == 0
    confirmed = [d for d in deeds(agent) if d["what"] == "registry_confirm"]
    assert [d["detail"].split(": ")[1] for d in confirmed] == ["restored on purpose"]


def test_confirm_goes_on_from_behind(agent):
    """A registry far behind is confirmed with an epoch after all that the record knows."""
    status = set_back(agent, lambda: [agent.ctl("key", "set", LIVE, 1, "--key-version", n) for n in range(2, 8)])
    assert status["record_epoch"] == status["epoch"] + 6
    done = agent.ctl("registry", "confirm", "--record-epoch", status["record_epoch"], "--reason", "x")
    assert done["epoch"] == status["record_epoch"] + 1


def test_stops_are_replayed(agent):
    status = set_back(agent, lambda: (agent.ctl("key", "suspend", SANDBOX, 1, "--reason", "stolen")))
    assert status["record_epoch"] > status["epoch"] - 1
    wait_until("the stop to be recorded anew",
               lambda: agent.ctl("key", "show", SANDBOX, 1)["state"] == "suspended")
    assert refusal(agent, SANDBOX).name == "KEY_STATE"
    agent.ctl("key", "resume", SANDBOX, 1)
    sign(agent, SANDBOX)


def test_same_registry_is_not_rolled_back(agent):
    for _ in range(3):
        agent.kill()
        agent.start()
        assert "record_epoch" not in agent.ctl("status")
    sign(agent, LIVE)


@pytest.mark.parametrize("args, says", [
    ([], "--record-epoch"),
    (["--record-epoch", "7"], "--reason"),
    (["--record-epoch", "x", "--reason", "y"], "--record-epoch"),
    (["--record-epoch", "0", "--reason", "y"], "record_epoch"),
])
def test_confirm_refuses(agent, args, says):
    done = agent.ctl_raw("registry", "confirm", *args)
    assert done.returncode == 2 and says in done.stderr.decode()
