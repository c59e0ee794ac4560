"""A PKCS#11 token for tests: SoftHSM 2 on a folder of its own."""
import pathlib
import shutil
import subprocess

MODULE = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, SO_PIN = "1234", "5678"


class Token:
    """`conf()` is the section of a keyring in it."""

    def __init__(self, folder, label="kms1", pin=PIN):
        self.folder, self.label = folder / "hsm", label
        self.tokens = self.folder / "tokens"
        self.tokens.mkdir(parents=True)
        self.settings = self.folder / "softhsm2.conf"
        self.settings.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.pin_file = self.folder / "pin"
        self.write_pin(pin)
        self.initialise(pin)

    def util(self, *args):
        return subprocess.run(["softhsm2-util", *args], env={"SOFTHSM2_CONF": str(self.settings)}, check=True,
                              capture_output=True, text=True).stdout

    def initialise(self, pin=PIN):
        self.util("--init-token", "--free", "--label", self.label, "--so-pin", SO_PIN, "--pin", pin)

    def write_pin(self, pin):
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(pin + "\n")

    def conf(self, name="hsm1", **more):
        keys = {"type": "pkcs11", "module": MODULE, "token": f"pkcs11:token={self.label}", "pin_file": self.pin_file,
                "environment": f"SOFTHSM2_CONF={self.settings}", **more}
        return f"\n[keyring {name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items() if v is not None)

    def fault(self, what=None):
        """What tests/support/faultp11.c does from now on."""
        path = self.folder / "fault"
        if what is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(what)

    def objects(self):
        """How many files of objects the token has: two a key pair."""
        return len(list(self.tokens.glob("*/*.object"))) - len(list(self.tokens.glob("*/token.object")))

    def take_away(self):
        self.tokens.rename(self.folder / "away")
        self.tokens.mkdir()

    def bring_back(self):
        shutil.rmtree(self.tokens)
        (self.folder / "away").rename(self.tokens)
