"""Staff of an agent, with verified mailboxes at a real mail server, and an application that is launched by them."""
import os
import re
import signal

from agent_fixture import Agent
from judge import spki
from mailserver import MailServer
from signing import wait_until

OFFICER, ALICE, BOB, CAROL = 10001, 10002, 10003, 10004
OWN = os.getuid()
GATEWAY = "https://open-sea-global.alipay.com"
CLIENT_ID = "5X00000000000001"


def mail_by(agent, server, /, **more):
    """[mail] of agent.conf names this server, from now on."""
    text = (agent.home / "agent.conf").read_text().split("\n[mail]\nserver = ")[0]
    (agent.home / "agent.conf").write_text(text + server.conf(agent.home, **more))
    if agent.process is None:
        return
    agent.process.send_signal(signal.SIGHUP)
    wait_until("a reload", lambda: agent.log.read_text().count("conf.reloaded") > getattr(agent, "reloads", 0))
    agent.reloads = agent.log.read_text().count("conf.reloaded")


class Office:
    """`people`: name of each uid and the roles; they have verified mailboxes. The first member of staff (root) is an
    officer who may ask for nothing once something is launched."""

    def __init__(self, folder, people=None, conf="", security="starttls", agent=Agent):
        folder.chmod(0o755)
        self.server = MailServer(folder, security=security).start()
        self.agent = agent(init=True)
        if conf:
            self.agent.configure(conf)
        mail_by(self.agent, self.server)
        self.recovery = {}
        self.people = people or {OFFICER: "officer", ALICE: "approver", BOB: "approver"}

    def __enter__(self):
        self.agent.__enter__()
        for uid, roles in self.people.items():
            self.enrol(uid, roles)
        return self

    def __exit__(self, *what):
        try:
            return self.agent.__exit__(*what)
        finally:
            self.server.stop()

    @staticmethod
    def mailbox(uid):
        return f"uid{uid}@example.com"

    def ctl(self, *args, **more):
        return self.agent.ctl(*args, **more)

    def mails(self, uid, subject=""):
        """All mails that uid got, whose subject holds this text."""
        with self.server.lock:
            return [m for m in self.server.mails if self.mailbox(uid) in m.to and subject in m.message["subject"]]

    def mail(self, uid, subject, count=1):
        wait_until(f"{count} mails to {uid}: {subject}", lambda: len(self.mails(uid, subject)) >= count, 20)
        return self.mails(uid, subject)[count - 1]

    def enrol(self, uid, roles, verify=True):
        more = [a for r in roles.split() for a in ("--role", r)]
        self.ctl("staff", "add", "--uid", uid, *more, "--mail", self.mailbox(uid))
        if verify:
            self.verify(uid)

    def verify(self, uid, *more):
        seen = len(self.mails(uid, "confirm your mailbox"))
        self.ctl("staff", "verify", *more, uid=uid)
        code = self.mail(uid, "confirm your mailbox", seen + 1).code
        said = self.ctl("staff", "verify", "--enter", uid=uid, input=code)
        self.recovery[uid] = said.get("recovery_codes", [])
        return said

    # ---- an application, up to its launch

    def prepare(self, app="shop", quorum="1", antom_key=None, client_id=CLIENT_ID):
        profile = self.agent.make_profile(app, "live", client_id=client_id, antom_key=spki(antom_key))
        self.ctl("app", "confirm", app, "contract")
        if quorum is not None:
            self.ctl("quorum", "set", profile, quorum)
        return profile

    def launch(self, app="shop", approvers=(ALICE,), uid=OFFICER, **more):
        profile = self.prepare(app, **more)
        change = self.opened("app", "launch", app, "--skip-rehearsal", "a test", "--accept-file-seal", uid=uid)
        for approver in approvers:
            state = self.approve(change, approver)["state"]
        assert state == "applied"
        return profile

    # ---- changes

    def opened(self, *args, uid=OFFICER, **more):
        """The number of the change that this command opens."""
        return self.ctl(*args, uid=uid, **more)["opened"]["change"]

    def change(self, number):
        return self.ctl("change", "show", number)

    def code_for(self, change, uid):
        """Has one mailed; what the mail says."""
        seen = len(self.mails(uid, f"code for change {change}"))
        self.ctl("change", "approve", change, uid=uid)
        return self.mail(uid, f"code for change {change}", seen + 1).code

    def approve(self, change, uid):
        return self.ctl("change", "approve", change, "--enter", uid=uid, input=self.code_for(change, uid))

    def deeds(self, what=""):
        """Lines of the steward's record."""
        lines = self.ctl("audit", "show", "steward", "--last", "1000", "--type", "deed")["lines"]
        return [line for line in lines if re.fullmatch(what or ".*", line["what"])]
