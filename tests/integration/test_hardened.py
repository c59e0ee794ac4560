"""The release build has the protections it promises: position independent, full RELRO, no executable stack,
stack protector, fortified calls, and landing pads (CET). Runs once, on the first build."""
import re
import subprocess

import pytest

from agent_fixture import BIN


def readelf(*args):
    return subprocess.run(["readelf", "-W", *map(str, args)], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("program", ["antom-agent", "antomctl"])
def test_release_build(program):
    path = BIN / program
    assert re.search(r"Type:\s+DYN", readelf("-h", path)), "not position independent"
    segments = readelf("-l", path)
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.*\sRW\s", segments), "the stack is executable"
    assert "BIND_NOW" in readelf("-d", path)
    symbols = readelf("-s", path)
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__(memcpy|snprintf|vsnprintf|fprintf|printf)_chk", symbols), "no fortified call"
    # the mark of the whole program needs C start-up files that have it, and Debian 12's do not
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True,
                          check=True).stdout
    assert code.count("endbr64") > 100, "no landing pads for indirect branches"


def test_no_run_path():
    for program in ("antom-agent", "antomctl"):
        dynamic = readelf("-d", BIN / program)
        assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
