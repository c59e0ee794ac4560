"""A real SMTP server for tests (aiosmtpd) with STARTTLS or TLS, AUTH, and the faults that servers have. Mails are
parsed as a mail client would."""
import asyncio
import datetime
import email
import email.policy
import ipaddress
import re
import socket
import ssl
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent_fixture import SLOW

USER, PASSWORD = "agent", "s3cret pass"


def make_certificate(folder, name, host="127.0.0.1"):
    """A self-signed certificate for `host`; its two files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    alternative = x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
    cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    cert_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
    cert_file.chmod(0o644)
    return cert_file, key_file


class Mail:
    """One that the server took."""

    def __init__(self, envelope):
        self.sender, self.to = envelope.mail_from, envelope.rcpt_tos
        self.bytes = envelope.content
        self.message = email.message_from_bytes(envelope.content, policy=email.policy.default)

    def part(self, subtype):
        return self.message.get_body((subtype,)).get_content().replace("\r\n", "\n")

    @property
    def text(self):
        return self.part("plain")

    @property
    def code(self):
        return re.search(r"^  Code:  ([0-9A-Z]{5}-[0-9A-Z]{5})$", self.text, re.M).group(1)


class MailServer:
    """`security`: starttls or tls. `answers`: what RCPT is answered, one after the other, before all is taken.
    `slow_s`: how long DATA takes."""

    def __init__(self, folder, security="starttls", offers_tls=True, host="127.0.0.1", certificate="mail"):
        self.mails, self.answers, self.slow_s, self.tries = [], [], 0, 0
        self.security, self.password = security, PASSWORD
        self.lock = threading.Condition()
        self.ca, key = make_certificate(folder, certificate, host)
        context = None
        if offers_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.ca, key)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        options = dict(authenticator=self.authenticate, auth_required=offers_tls, auth_require_tls=offers_tls)
        if security == "starttls":
            options.update(tls_context=context, require_starttls=offers_tls)
        else:
            options.update(auth_require_tls=False)
        self.options, self.context = options, context if security == "tls" else None
        self.controller = None

    def start(self):
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, ssl_context=self.context,
                                     **self.options)
        self.controller.start()
        return self

    def stop(self):
        if self.controller is not None:
            self.controller.stop()
        self.controller = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- aiosmtpd's side

    def authenticate(self, server, session, envelope, mechanism, data):
        good = mechanism in ("LOGIN", "PLAIN") and data.login == USER.encode() and \
            data.password == self.password.encode()
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        with self.lock:
            self.tries += 1
            self.lock.notify_all()
            if self.answers:
                return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        with self.lock:
            self.mails.append(Mail(envelope))
            self.lock.notify_all()
        return "250 taken"

    # ---- the test's side

    def wait(self, count, seconds=20):
        """Until so many were taken; the last one."""
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.mails) >= count, seconds * SLOW), \
                f"{len(self.mails)} mails came, {count} were expected"
            return self.mails[count - 1]

    def wait_tries(self, count, seconds=20):
        with self.lock:
            assert self.lock.wait_for(lambda: self.tries >= count, seconds * SLOW), f"{self.tries} tries, not {count}"

    def conf(self, home, /, **more):
        """[mail] of agent.conf for this server; writes the password's file."""
        password = home / "smtp-password"
        password.write_text(f"{PASSWORD}\n")
        password.chmod(0o600)
        keys = {"server": "127.0.0.1", "port": self.port, "security": self.security, "from": "agent@pay.example",
                "user": USER, "password_file": password, "ca_file": self.ca, "retry_ms": 1000, **more}
        return "\n[mail]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items() if v is not None)


class FaultyServer:
    """Speaks as little SMTP as `lines` say, in plain: each accepted connection gets them, then hangs or ends."""

    def __init__(self, lines, then="hang"):
        self.lines, self.then, self.accepted = lines, then, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.open = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.accepted += 1
            self.open.append(c)
            try:
                for line in self.lines:
                    c.sendall(line)
                if self.then == "end":
                    c.close()
            except OSError:
                pass

    def stop(self):
        self.socket.close()
        for c in self.open:
            c.close()
