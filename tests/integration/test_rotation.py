"""Rotations against a false Antom over HTTPS, in its three modes, under the load of four payment services; by several
members of staff with verified mailboxes. Antom's side is written with other cryptography (tests/support)."""
import http.server
import json
import subprocess
import sys
import threading
import time

import pytest

import judge
from agent_fixture import SLOW
from devices import keyring
from false_antom import FalseAntom, Street
from antom_client import AntomError, Client
from signing import PAY, sign, wait_until
from staffing import ALICE, BOB, CLIENT_ID, OFFICER, Office

LIVE, SANDBOX = "shop/live", "shop/sandbox"
OTHER_OFFICER = 10005
CONF = "\n[rotation]\nprobe_interval_ms = 1000\nprobe_timeout_ms = 5000\nca_file = {ca}\n"
WATCH = "\n[keys]\nwatch_window_ms = 5000\n"
PEOPLE = {OFFICER: "officer", OTHER_OFFICER: "officer", ALICE: "approver", BOB: "approver"}


class Shopping(Office):
    """An office with a launched application whose gateway is the false Antom."""

    def __init__(self, folder, antom, conf="", launched=True, **more):
        super().__init__(folder, people=dict(PEOPLE), conf=CONF.format(ca=antom.ca) + conf, **more)
        self.antom, self.launched = antom, launched

    def __enter__(self):
        super().__enter__()
        self.ctl("app", "create", "shop", "--role", "merchant", "--region", "SG", "--product", "Checkout", "--currency",
                 "USD", "--dashboard-account", "payments@shop.example")
        for profile, client_id in ((LIVE, CLIENT_ID), (SANDBOX, "SANDBOX_5X1")):
            self.ctl("profile", "set", profile, "--client-id", client_id, "--gateway", self.antom.url)
            self.ctl("key", "generate", profile)
            self.ctl("antom-key", "add", profile, "--same-as-other-environment", input=self.antom.public_key)
            self.ctl("grant", "add", profile, "--uid", 0, "--ops", "sign,verify,explain")
            self.antom.register(client_id, self.ctl("key", "export", profile)["public_key"])
        if self.launched:
            self.ctl("app", "confirm", "shop", "contract")
            self.ctl("quorum", "set", LIVE, "1")
            change = self.opened("app", "launch", "shop", "--skip-rehearsal", "a test", "--accept-file-seal")
            assert self.approve(change, ALICE)["state"] == "applied"
        return self

    def rotation(self, profile=LIVE):
        """The one that is under way, or the last one."""
        return self.ctl("rotate", "status", profile, "--all", uid=OFFICER)["rotations"][-1]

    def approved(self, *more, profile=LIVE):
        """A rotation whose plan is approved; its new public key."""
        started = self.ctl("rotate", "start", profile, *more, uid=OFFICER)
        if profile == LIVE:
            assert started["state"] == "prepared"
            assert self.approve(started["change"], ALICE)["state"] == "applied"
        assert self.rotation(profile)["state"] == "approved"
        return started["new_key"]["public_key"]

    def submitted(self, *more, profile=LIVE, client_id=CLIENT_ID):
        """One whose key Antom has; when Antom takes it from."""
        since = self.antom.replace(client_id, self.approved(*more, profile=profile))
        self.ctl("rotate", "submit", profile, uid=OTHER_OFFICER)
        return since

    def until(self, state, profile=LIVE, seconds=20):
        wait_until(f"{profile} is {state}", lambda: self.rotation(profile)["state"] == state, seconds)
        return self.rotation(profile)

    def states(self, profile=LIVE):
        return {k["version"]: k["state"] for k in self.ctl("key", "list", profile)["keys"]}


def outcomes(rotation):
    return rotation["old_probe"]["outcome"], rotation["new_probe"]["outcome"]


def show(capfd, text):
    with capfd.disabled():  # of a worker only this reaches the terminal
        print(f"\n{text}", file=sys.__stderr__, flush=True)


# ---- the three modes

@pytest.mark.parametrize("mode", ["overlap", "replace", "lag"])
def test_start_to_complete(tmp_path, mode, capfd):
    """A whole rotation under load. Where both keys are accepted no payment fails; where Antom drops the old key the moment
    it takes the new one, an armed plan closes the gap within one probe interval; until then the old key signs."""
    with FalseAntom(tmp_path, mode, lag_s=3.0) as antom, Shopping(tmp_path, antom, conf=WATCH) as s, \
            Street(s.agent, antom, LIVE) as load:
        wait_until("payments", lambda: len(load.paid) > 40)
        since = s.submitted()
        if mode == "overlap":
            wait_until("both are accepted", lambda: outcomes(s.rotation()) == ("accepted", "accepted"))
            seen = s.rotation()
            assert (seen["state"], seen["who"], seen["command"]) == ("submitted", "staff", f"rotate activate {LIVE}")
            s.mail(BOB, "rotation of shop/live can cut over")
            probes = len(antom.probes(0))
            wait_until("more probes", lambda: len(antom.probes(0)) > probes + 1)  # an armed plan leaves staff the choice
            assert s.rotation()["state"] == "submitted"
            s.ctl("rotate", "activate", LIVE, uid=OTHER_OFFICER)
        elif mode == "lag":
            wait_until("the old key alone", lambda: outcomes(s.rotation()) == ("accepted", "refused"))
            assert s.rotation()["who"] == "Antom"
        seen = s.until("watching", seconds=30)
        assert seen["who"] == "agent" and seen["until_ms"] > time.time() * 1000 - 1000
        assert s.states() == {1: "retiring", 2: "active"}
        s.mail(ALICE, "rotation of shop/live has cut over")
        wait_until("payments with the new key", lambda: load.paid[-1][1] == 2)
        s.until("complete", seconds=40)
        wait_until("the old key is retired", lambda: s.states() == {1: "retired", 2: "active"})
        s.mail(OFFICER, "rotation of shop/live is complete")
        paid = len(load.paid)
        wait_until("payments go on", lambda: len(load.paid) > paid + 40)
    first = min(t for t, v in load.paid if v == 2)
    if mode == "overlap":
        assert not load.refused
    else:
        assert not [r for r in load.refused if r[0] < since], "the old key signed as long as it was accepted"
        assert first - since < (1.0 + 3.0) * SLOW, "more than a probe interval and the work of one"
        assert {(c, v) for _, c, v in load.refused} <= {("INVALID_SIGNATURE", 1)}
        show(capfd, f"{mode}: {first - since:.2f} s from Antom's switch to the first payment under the new key, "
                     f"{len(load.refused)} payments refused meanwhile; the agent probes every 1 s")
    assert {v for _, v in load.paid} == {1, 2}


@pytest.mark.parametrize("mode", ["overlap", "replace", "lag"])
def test_rollback(tmp_path, mode):
    """The new key turns out to be wrong: one step back. Where Antom has dropped the old key, it is asked first, and the
    plan says to give it to Antom again."""
    with FalseAntom(tmp_path, mode, lag_s=1.0) as antom, Shopping(tmp_path, antom) as s, \
            Street(s.agent, antom, LIVE) as load:
        s.submitted()
        if mode == "overlap":
            wait_until("both are accepted", lambda: outcomes(s.rotation()) == ("accepted", "accepted"))
            s.ctl("rotate", "activate", LIVE, uid=OFFICER)
        s.until("watching")
        if mode != "overlap":
            said = s.agent.refused("ROTATION_STATE", "rotate", "rollback", LIVE, uid=OFFICER)
            assert "key export" in said
            assert s.rotation()["state"] == "watching"
            antom.restore(CLIENT_ID, 0)
        done = s.ctl("rotate", "rollback", LIVE, "--reason", "wrong key", uid=OTHER_OFFICER)
        assert (done["state"], done["reason"]) == ("rolled_back", "wrong key")
        assert s.states() == {1: "active", 2: "retiring"}
        paid = len(load.paid)
        wait_until("payments go on", lambda: len(load.paid) > paid + 40)
        assert load.paid[-1][1] == 1
        s.mail(BOB, "rotation of shop/live is rolled back")
        s.agent.refused("NOT_FOUND", "rotate", "rollback", LIVE, uid=OFFICER)
    if mode == "overlap":
        assert not load.refused


def test_the_record_of_a_rotation(tmp_path):
    """Each step is a line of the record, by whom it was taken."""
    with FalseAntom(tmp_path, "overlap") as antom, Shopping(tmp_path, antom, conf=WATCH) as s:
        s.submitted()
        wait_until("accepted", lambda: outcomes(s.rotation())[1] == "accepted")
        s.ctl("rotate", "activate", LIVE, uid=OFFICER)
        s.until("complete", seconds=40)
        lines = [(d["what"], d.get("uid")) for d in s.deeds(".*rotate.*") if "probe" not in d["what"]]
        assert [what for what, _ in lines] == ["rotate_start", "rotate_request", "rotate_submit", "rotate_activate",
                                               "agent.rotate_complete"]
        assert [uid for _, uid in lines][:4] == [OFFICER, OFFICER, OTHER_OFFICER, OFFICER]
        signed = s.ctl("audit", "show", "soft", "--last", "1000", "--type", "sign")["lines"]
        assert {line["trace"] for line in signed} == {"probe of the agent"}
        assert {line["version"] for line in signed} == {1, 2}


# ---- what proves something, and what does not

def test_a_wrong_certificate_proves_nothing(tmp_path):
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom) as s:
        with FalseAntom(tmp_path, "replace", certificate="another") as other:
            other.register(CLIENT_ID, s.ctl("key", "export", LIVE)["public_key"])
            other.key = antom.key
            key = s.approved()
            antom.replace(CLIENT_ID, key)
            other.replace(CLIENT_ID, key)
            antom.context, real = other.context, antom.context
            s.ctl("rotate", "submit", LIVE, uid=OFFICER)
            wait_until("probes", lambda: outcomes(s.rotation()) == ("unproven", "unproven"))
            assert "ertificate" in s.rotation()["new_probe"]["said"]
            s.agent.refused("ROTATION_STATE", "rotate", "activate", LIVE, uid=OFFICER)
            assert s.states() == {1: "active", 2: "staged"}
            antom.context = real
            s.until("watching")


@pytest.mark.parametrize("behave", ["silent", "garbage", "hang"])
def test_a_gateway_that_does_not_answer(tmp_path, behave):
    """It proves nothing, holds up nothing else, and counts again as soon as it answers."""
    conf = ""
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom, conf=conf) as s:
        antom.behave = behave
        s.submitted()
        wait_until("probes", lambda: s.rotation()["new_probe"]["outcome"] == "unproven", 30)
        begin = time.monotonic()
        assert sign(s.agent, LIVE)["version"] == 1
        s.ctl("status")
        assert time.monotonic() - begin < 3 * SLOW
        antom.behave = None
        s.until("watching", seconds=40)


def test_a_forged_antom_key_is_not_taken(tmp_path):
    """One officer adds a key of his own during the rotation: nothing verifies under it. The key that Antom really
    changed to is taken as soon as it verifies an answer that the agent fetched itself."""
    with FalseAntom(tmp_path, "overlap") as antom, Shopping(tmp_path, antom) as s:
        forged = judge.new_key()
        assert s.ctl("antom-key", "add", LIVE, input=judge.spki(forged), uid=OFFICER)["state"] == "staged"
        s.submitted()
        wait_until("accepted", lambda: outcomes(s.rotation()) == ("accepted", "accepted"))
        states = lambda: {k["version"]: k["state"] for k in s.ctl("antom-key", "list", LIVE)["antom_keys"]}  # noqa: E731
        assert states() == {1: "active", 2: "staged"}
        real = antom.new_own_key()
        wait_until("the answers fit no key", lambda: s.rotation()["new_probe"]["outcome"] == "unproven")
        assert "antom-key add shop/live" in s.rotation()["new_probe"]["said"]
        assert s.ctl("antom-key", "add", LIVE, input=real, uid=OFFICER)["state"] == "staged"
        wait_until("it is taken", lambda: states() == {1: "retiring", 2: "staged", 3: "active"})
        wait_until("accepted", lambda: outcomes(s.rotation()) == ("accepted", "accepted"))
        assert s.deeds("agent.antom_key_proved")[-1]["subject"] == LIVE


def test_an_antom_key_outside_of_a_rotation_needs_a_change(tmp_path):
    with FalseAntom(tmp_path) as antom, Shopping(tmp_path, antom) as s:
        version = s.ctl("antom-key", "add", LIVE, input=antom.new_own_key(), uid=OFFICER)["version"]
        said = b'{"result": {"resultStatus": "S"}}'
        answer = dict(profile=LIVE, method="POST", uri=PAY, headers=judge.response(antom.key, PAY, CLIENT_ID, said),
                      body=said)
        with Client(s.agent.agent_sock) as client:
            with pytest.raises(AntomError, match="SIGNATURE_INVALID"):
                client.call("verify_response", **answer)
            causes = [f["cause"] for f in client.call("explain", kind="response", **answer)["findings"]]
        assert "staged_key" in causes
        change = s.opened("antom-key", "activate", LIVE, version)
        assert s.approve(change, BOB)["state"] == "applied"
        with Client(s.agent.agent_sock) as client:
            assert client.call("verify_response", **answer)["version"] == version
        assert [k["state"] for k in s.ctl("antom-key", "list", LIVE)["antom_keys"]] == ["retiring", "active"]


# ---- the plan

def test_nothing_starts_without_approval(tmp_path):
    """Each step out of order is refused, and says what is missing."""
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom) as s:
        for step in ("request", "submit", "probe", "activate", "rollback", "cancel"):
            assert "rotate start shop/live" in s.agent.refused("NOT_FOUND", "rotate", step, LIVE, uid=OFFICER)
        started = s.ctl("rotate", "start", LIVE, uid=OFFICER)
        said = s.agent.refused("ROTATION_STATE", "rotate", "start", LIVE, uid=OTHER_OFFICER)
        assert f"rotation {started['rotation']}" in said and "prepared" in said
        for step in ("submit", "activate", "rollback"):
            s.agent.refused("ROTATION_STATE", "rotate", step, LIVE, uid=OFFICER)
        s.agent.refused("ROTATION_STATE", "rotate", "activate", LIVE, "--anyway", uid=OFFICER)
        assert "rotate" in s.agent.refused("ROTATION_STATE", "key", "activate", LIVE, 2, uid=OFFICER)
        assert s.ctl("key", "show", LIVE, 2)["waits_for"] == f"rotation {started['rotation']}, which is prepared"
        s.agent.refused("EXISTS", "rotate", "request", LIVE, uid=OFFICER)
        s.agent.refused("CHANGE_DENIED", "change", "approve", started["change"], uid=OFFICER)
        s.ctl("change", "reject", started["change"], uid=ALICE)
        assert s.rotation()["state"] == "prepared"
        change = s.ctl("rotate", "request", LIVE, uid=OTHER_OFFICER)["opened"]["change"]
        assert s.approve(change, BOB)["state"] == "applied"
        assert s.rotation()["state"] == "approved"
        done = s.ctl("rotate", "cancel", LIVE, "--reason", "not now", uid=OTHER_OFFICER)
        assert done["state"] == "cancelled"
        assert s.states() == {1: "active", 2: "retiring"}
        s.mail(ALICE, "rotation of shop/live is cancelled")
        s.agent.refused("NOT_STAFF", "rotate", "start", LIVE, uid=ALICE)
        s.agent.refused("NOT_STAFF", "rotate", "status", LIVE, uid=10099)


def test_what_approvers_see(tmp_path):
    """The change says what the plan covers, and what the sandbox showed."""
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom) as s:
        s.submitted(profile=SANDBOX, client_id="SANDBOX_5X1")
        wait_until("accepted", lambda: outcomes(s.rotation(SANDBOX)) == ("refused", "accepted"))
        assert s.rotation(SANDBOX)["state"] == "submitted", "a sandbox is not armed unless told so"
        s.ctl("rotate", "activate", SANDBOX, uid=OFFICER)
        started = s.ctl("rotate", "start", LIVE, uid=OFFICER)
        alters = {a["what"]: a["is"] for a in s.change(started["change"])["alters"]}
        assert started["new_key"]["fingerprint"] in alters["the new key"]
        assert "watching" in alters["rehearsal"]
        assert alters["probes go to"] == antom.url
        text = s.mail(ALICE, "waits for approval", 2).text.replace("\n", " ")
        assert "rollback" in text


def test_rehearsal_armed(tmp_path):
    """The same plan on the sandbox, armed: by itself."""
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom, launched=False) as s:
        s.submitted("--arm", profile=SANDBOX, client_id="SANDBOX_5X1")
        s.until("watching", SANDBOX)
        assert s.states(SANDBOX) == {1: "retiring", 2: "active"}
        assert sign(s.agent, SANDBOX)["version"] == 2


def test_several_at_once(tmp_path):
    """One a profile; over different profiles as many as one likes."""
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom, launched=False) as s:
        s.ctl("app", "create", "other", "--role", "merchant", "--region", "SG", "--product", "Checkout", "--currency",
              "USD")
        s.ctl("profile", "set", "other/sandbox", "--client-id", "SANDBOX_5X2", "--gateway", antom.url)
        s.ctl("key", "generate", "other/sandbox")
        s.ctl("antom-key", "add", "other/sandbox", input=antom.public_key)
        antom.register("SANDBOX_5X2", s.ctl("key", "export", "other/sandbox")["public_key"])
        both = ((SANDBOX, "SANDBOX_5X1"), ("other/sandbox", "SANDBOX_5X2"))
        for profile, client_id in both:
            s.submitted("--arm", profile=profile, client_id=client_id)
            s.agent.refused("ROTATION_STATE", "rotate", "start", profile)
        for profile, _ in both:
            s.until("watching", profile)
        assert len(s.ctl("rotate", "status")["rotations"]) == 2


def test_freeze(tmp_path):
    """No cut-over in a freeze, by an armed plan or an officer; a rollback is never frozen."""
    day = 86400
    stamp = lambda t: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))  # noqa: E731
    freeze = f"\n[rotation]\nfreeze = black-friday {stamp(time.time() - day)}/{stamp(time.time() + day)}\n"
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom, conf=freeze) as s:
        s.submitted()
        wait_until("only the new one", lambda: outcomes(s.rotation()) == ("refused", "accepted"))
        s.mail(OFFICER, "ALARM: Antom accepts only the new key")
        seen = s.rotation()
        assert (seen["state"], seen["frozen"], seen["who"]) == ("submitted", "black-friday", "staff")
        assert "freeze" in s.agent.refused("ROTATION_STATE", "rotate", "activate", LIVE, "--anyway", uid=OFFICER)
        text = (s.agent.home / "agent.conf").read_text()
        (s.agent.home / "agent.conf").write_text(text.replace(freeze, ""))
        s.agent.process.send_signal(1)
        s.until("watching")


def test_key_version_and_keyring(tmp_path):
    """As Antom names the new key; and a key that was made before."""
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom, launched=False) as s:
        made = s.ctl("key", "generate", SANDBOX)
        s.agent.refused("KEY_STATE", "rotate", "start", SANDBOX, "--version", 1)
        s.agent.refused("NOT_FOUND", "rotate", "start", SANDBOX, "--version", 9)
        s.agent.refused("BAD_PARAM", "rotate", "start", SANDBOX, "--version", 2, "--keyring", "soft")
        s.agent.refused("NOT_FOUND", "rotate", "start", SANDBOX, "--keyring", "hsm1")
        s.agent.refused("USAGE", "rotate", "start", SANDBOX, "--arm", "--no-arm")
        started = s.ctl("rotate", "start", SANDBOX, "--version", made["version"])
        assert started["new_key"]["fingerprint"] == made["fingerprint"]
        antom.replace("SANDBOX_5X1", started["new_key"]["public_key"])
        s.ctl("rotate", "submit", SANDBOX, "--key-version", 7)
        wait_until("accepted", lambda: outcomes(s.rotation(SANDBOX))[1] == "accepted")
        s.ctl("rotate", "activate", SANDBOX)
        assert sign(s.agent, SANDBOX)["key_version"] == 7
        s.agent.refused("NO_ACTIVE_KEY", "rotate", "start", LIVE) if not s.states(LIVE) else None


@pytest.mark.parametrize("kind", ["soft", "pkcs11", "tpm"])
def test_to_another_keyring(tmp_path, kind):
    """The usual first rotation: from software to another keyring, under load."""
    with keyring(kind, tmp_path) as (conf, _), FalseAntom(tmp_path, "replace") as antom, \
            Shopping(tmp_path, antom, conf=conf) as s, Street(s.agent, antom, LIVE) as load:
        s.submitted("--keyring", "second")
        seen = s.until("watching")
        assert (seen["old_key"]["keyring"], seen["new_key"]["keyring"]) == ("soft", "second")
        assert sign(s.agent, LIVE)["version"] == 2
        wait_until("payments with the new key", lambda: load.paid[-1][1] == 2)
    assert {(c, v) for _, c, v in load.refused} <= {("INVALID_SIGNATURE", 1)}


# ---- notifications

def test_notifications_over_the_switch(tmp_path):
    """Antom changes its key with ours, and repeats a notification that was not taken: whatever key signs it verifies."""
    taken = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with Client(s.agent.agent_sock) as client:
                said = client.call("verify_notification", profile=LIVE, method="POST", uri=self.path,
                                   headers=dict(self.headers.items()), body=body)
            taken.append(said["version"])
            good = len(taken) % 3 == 0  # the first two tries of each are not taken
            code = "SUCCESS" if good else "PROCESS_FAIL"
            answer = json.dumps({"result": {"resultCode": code, "resultStatus": "S" if good else "F"}}).encode()
            self.send_response(200 if good else 500)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/notify"
    try:
        with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom) as s:
            assert antom.notify(url, CLIENT_ID, b'{"a": 1}', speed=1000) == 3
            s.submitted()
            s.until("watching")
            old = antom.key
            s.ctl("antom-key", "add", LIVE, input=antom.new_own_key(), uid=OFFICER)
            s.ctl("rotate", "probe", LIVE, uid=OFFICER)
            assert [k["state"] for k in s.ctl("antom-key", "list", LIVE)["antom_keys"]] == ["retiring", "active"]
            assert antom.notify(url, CLIENT_ID, b'{"a": 2}', speed=1000) == 3
            antom.key = old  # one that was sent before, and comes again
            assert antom.notify(url, CLIENT_ID, b'{"a": 1}', speed=1000) == 3
        assert taken == [1] * 3 + [2] * 3 + [1] * 3
    finally:
        server.shutdown()
        server.server_close()


# ---- failure reports

def test_failures_are_counted_and_roll_back(tmp_path):
    """Antom says that it takes both, then refuses what the new key signs: reports stand beside the switch, and a plan
    that was told so goes back by itself while the old key is accepted."""
    with FalseAntom(tmp_path, "overlap") as antom, Shopping(tmp_path, antom) as s:
        s.submitted("--auto-rollback")
        wait_until("both", lambda: outcomes(s.rotation()) == ("accepted", "accepted"))
        s.ctl("rotate", "activate", LIVE, uid=OFFICER)
        antom.drop(CLIENT_ID, 1)
        with Street(s.agent, antom, LIVE, count=1) as load:
            wait_until("failures", lambda: load.refused)
            done = s.until("rolled_back")
            wait_until("payments", lambda: load.paid)
        assert done["failures"] >= 3
        assert "failures were reported" in done["reason"]
        s.mail(BOB, "rotation of shop/live is rolled back")


def test_failures_alone_do_not_roll_back(tmp_path):
    """Without being told so, staff decides; the count is there."""
    with FalseAntom(tmp_path, "overlap") as antom, Shopping(tmp_path, antom) as s:
        s.submitted()
        wait_until("both", lambda: outcomes(s.rotation()) == ("accepted", "accepted"))
        s.ctl("rotate", "activate", LIVE, uid=OFFICER)
        antom.drop(CLIENT_ID, 1)
        with Street(s.agent, antom, LIVE, count=1):
            wait_until("failures are told", lambda: s.rotation()["failures"] >= 3)
        assert s.rotation()["state"] == "watching"
        wait_until("it is told", lambda: any("failures" in a["what"] and "rollback" in a["how"]
                                             for a in s.ctl("status")["attention"]))


# ---- without a network

def test_by_hand(tmp_path):
    """The agent cannot reach Antom; another host can: its curl asks, and the answer is pasted."""
    with FalseAntom(tmp_path, "replace") as antom, Shopping(tmp_path, antom) as s:
        key = s.approved()
        antom.replace(CLIENT_ID, key)
        real = antom.context
        antom.context = None  # every handshake fails: no answer
        s.ctl("rotate", "submit", LIVE, uid=OFFICER)
        wait_until("unproven", lambda: outcomes(s.rotation()) == ("unproven", "unproven"))
        said = s.agent.ctl_raw("rotate", "call", LIVE, "--key", "new", uid=OFFICER).stdout.decode()
        antom.context = real
        answer = subprocess.run(said.replace("curl ", f"curl -s --cacert {antom.ca} ", 1), shell=True, check=True,
                                capture_output=True).stdout
        antom.context = None
        broken = answer.replace(b"ORDER_NOT_EXIST", b"ORDER_NOT_EXISt")
        assert s.ctl("rotate", "answer", LIVE, "--key", "new", input=broken,
                     uid=OFFICER)["new_probe"]["outcome"] == "unproven"
        s.agent.refused("BAD_PARAM", "rotate", "answer", LIVE, "--key", "new", input=b"no headers", uid=OFFICER)
        s.agent.refused("BAD_PARAM", "rotate", "answer", LIVE, "--key", "both", input=answer, uid=OFFICER)
        seen = s.ctl("rotate", "answer", LIVE, "--key", "new", input=answer, uid=OTHER_OFFICER)
        assert seen["new_probe"]["outcome"] == "accepted" and seen["new_probe"]["by_hand"]
        time.sleep(2.5)  # an armed plan does not act on what was pasted, and probes without an answer do not undo it
        assert (s.rotation()["state"], s.rotation()["new_probe"]["outcome"]) == ("submitted", "accepted")
        s.ctl("rotate", "activate", LIVE, uid=OFFICER)
        assert s.states() == {1: "retiring", 2: "active"}


# ---- restarts

def test_a_restart_goes_on(tmp_path):
    """An agent that was killed in the middle goes on where it was, and cuts over."""
    with FalseAntom(tmp_path, "lag", lag_s=6.0) as antom, Shopping(tmp_path, antom) as s:
        s.submitted()
        wait_until("the old one", lambda: outcomes(s.rotation()) == ("accepted", "refused"))
        s.agent.kill()
        s.agent.start()
        s.until("watching", seconds=30)
        s.agent.kill()
        s.agent.start()
        assert sign(s.agent, LIVE)["version"] == 2
        antom.restore(CLIENT_ID, 0)
        s.ctl("rotate", "rollback", LIVE, uid=OFFICER)
        assert sign(s.agent, LIVE)["version"] == 1


def test_a_stop_in_the_middle(tmp_path):
    """Any one officer stops a key at any time; the rotation says so and cannot go to it."""
    with FalseAntom(tmp_path, "overlap") as antom, Shopping(tmp_path, antom) as s:
        s.submitted()
        wait_until("both", lambda: outcomes(s.rotation()) == ("accepted", "accepted"))
        s.ctl("key", "suspend", LIVE, 2, uid=OTHER_OFFICER)
        s.agent.refused("KEY_STATE", "rotate", "activate", LIVE, "--anyway", uid=OFFICER)
        assert s.ctl("rotate", "cancel", LIVE, uid=OFFICER)["state"] == "cancelled"
        assert s.states() == {1: "active", 2: "suspended"}
        assert sign(s.agent, LIVE)["version"] == 1
