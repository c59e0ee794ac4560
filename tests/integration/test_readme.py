"""Every command of the README runs, and prints what the README says."""
import os
import pathlib
import re

from agent_fixture import BIN
import transcript

SOURCE = pathlib.Path(os.environ.get("ANTAG_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
README = SOURCE / "README.md"


def test_commands():
    steps, wrong = transcript.check(README, BIN)
    assert len(steps) >= 20
    assert not wrong, "\n\n".join(wrong)


def test_every_command_block_is_run():
    """Commands stand in ```console blocks, which run above; ```sh is for the two package commands."""
    for block in re.findall(r"```sh\n(.*?)```", README.read_text(), re.S):
        for line in block.strip().splitlines():
            assert line.split(" #")[0].strip() in ("packaging/quickstart", "packaging/run-tests"), line
