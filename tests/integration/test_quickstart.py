"""packaging/quickstart from start to end, as a stranger runs it. Runs once, on the first build."""
import os
import pathlib
import subprocess

SOURCE = pathlib.Path(os.environ.get("ANTAG_SOURCE", pathlib.Path(__file__).resolve().parents[2]))


def test_quickstart():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ANTAG_", "ANTOM_"))}
    done = subprocess.run([str(SOURCE / "packaging/quickstart")], capture_output=True, text=True, timeout=600,
                          cwd="/", env=env)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for said in ("Verified OK", "Signature: algorithm=RSA256,keyVersion=1,signature=", "verified: signed by Antom",
                 "SIGNATURE_INVALID", "UNSIGNED", "What next"):
        assert said in done.stdout, said


def test_quickstart_refuses_what_it_does_not_know():
    done = subprocess.run([str(SOURCE / "packaging/quickstart"), "--fast"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr
