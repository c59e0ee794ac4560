"""The tree passes its own settings: .clang-format for every file; with --full .clang-tidy for every source
of the agent, the protocol and the tool. Runs once, on the first build."""
import os
import pathlib
import re
import subprocess

SOURCE = pathlib.Path(os.environ.get("ANTAG_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ["ANTAG_BIN"]).parent


def sources(*patterns):
    found = [p for top in ("agent", "client", "include", "proto", "tests") for pattern in patterns
             for p in sorted((SOURCE / top).rglob(pattern))]
    assert found
    return found


def test_format():
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *map(str, sources("*.c", "*.h"))],
                          cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


def test_layout():
    """The rooms of the house: a role includes no other role, the core nothing but itself and proto."""
    roles = ["supervisor", "front", "keeper", "steward", "opener", "courier"]
    wrong = []
    for path in sources("*.c", "*.h"):
        name = path.relative_to(SOURCE).as_posix()
        for line in path.read_text().splitlines():
            if not line.startswith('#include "agent/'):
                continue
            room = line.split('"')[1].split("/")[1]
            own = name.split("/")[1] if name.startswith("agent/") else ""
            if own in roles and room in roles and room != own or own == "core" and room != "core" or \
                    own == "lib" and room not in ("lib", "core") or name.startswith(("proto/", "include/")):
                wrong.append(f"{name}: {line}")
    assert not wrong, "\n".join(wrong)


def test_threats_name_tests_that_exist():
    """Every row of agent/THREATS.md names tests, and each is there."""
    rows = [line for line in (SOURCE / "agent/THREATS.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(test_\w+\.(?:py|c))::(\w+)`", row)
        assert named, row
        for file, name in named:
            found = list((SOURCE / "tests").rglob(file))
            assert len(found) == 1, file
            assert re.search(rf"^(def|static void|int) {name}\(", found[0].read_text(), re.M), (file, name)


if os.environ.get("ANTAG_FULL") == "1":
    def test_tidy():
        files = [str(p) for p in sources("*.c") if not p.relative_to(SOURCE).as_posix().startswith("tests/")]
        done = subprocess.run(["xargs", "-P2", "-n4", "clang-tidy", "-p", str(BUILD), "--quiet"],
                              input="\n".join(files), cwd=SOURCE, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[:6000]
