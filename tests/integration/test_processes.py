"""agent/PROCESSES.md is what the table of edges says."""
import os
import pathlib
import subprocess

from agent_fixture import BIN

SOURCE = pathlib.Path(os.environ.get("ANTAG_SOURCE", pathlib.Path(__file__).resolve().parents[2]))


def test_processes_document():
    printed = subprocess.run([str(BIN / "antom-agent"), "--print-processes"], capture_output=True, text=True,
                             check=True).stdout
    assert printed == (SOURCE / "agent/PROCESSES.md").read_text(), \
        "write it again: antom-agent --print-processes > agent/PROCESSES.md"
