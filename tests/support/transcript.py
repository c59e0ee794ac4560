"""Runs the ```console blocks of a Markdown file in one shell and compares what they print.

A block holds commands behind `$ ` (lines behind `> ` go on with it) and, below each, its output. What changes from run to run (keys, times, process ids) is masked on both sides. With
`--write FILE BIN` the outputs in the file are replaced by real ones.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

MASKS = [
    (re.compile(r"/\S*/antag-doc-[^/\s]*"), "<dir>"),
    (re.compile(r"(?<=\S)\n {20,}(?=\S)"), " "),  # a cell that needed a second line, because a time took more room
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"\bsoft:\d+"), "soft:<line>"),
    (re.compile(r"\bsteward:\d+"), "steward:<line>"),
    (re.compile(r"\bdigest [0-9a-f]{16}\b"), "digest <digest>"),
    (re.compile(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "<time>"),
    (re.compile(r"\b(uid \d+) on \S+"), r"\1 on <host>"),
    (re.compile(r"^((?:soft|steward) whole)(?: \d+){5}", re.M), r"\1 <counts>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"\b[0-9a-f]{16}\.\.\."), "<sha256>"),
    (re.compile(r"signature=[A-Za-z0-9%]{100,}"), "signature=<signature>"),
    (re.compile(r"[A-Za-z0-9+/]{60,}={0,2}"), "<base64>"),
    (re.compile(r"until \d{4}-\d\d-\d\d\s+\d\d:\d\d:\d\d\S+ \(in [^)]*\)"), "until <time>"),
    (re.compile(r"\bin \d+ (s|min|h|days)\b|\b(now|\d+ (s|min|h|days) ago)\b"), "<ago>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b1[78]\d{11}\b"), "<ms>"),
    (re.compile(r"\b127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
    (re.compile(r"\bpid \d+"), "pid <pid>"),
    (re.compile(r"^((?:supervisor|steward|keeper|front|courier) \S+) \d+ ", re.M), r"\1 <pid> "),
    (re.compile(r"^courier - <pid> starting", re.M), "courier - <pid> ready"),  # the sockets do not wait for it
    (re.compile(r"\bepoch \d+"), "epoch <epoch>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|min|h|d|seconds?|minutes?|hours?|days?)( ago)?\b"), "<duration>"),
    (re.compile(r"\b\d+ KiB\b"), "<size> KiB"),
    (re.compile(r"\buid \d+ \(\w+\)"), "uid <uid>"),
    (re.compile(r"--uid \d+"), "--uid <uid>"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b"), "<code>"),
    (re.compile(r"^(host) +\S+", re.M), r"\1 <host>"),
]


def mask(text):
    for pattern, to in MASKS:
        text = pattern.sub(to, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


class Step:
    def __init__(self, command, first, last):
        self.command, self.first, self.last = command, first, last  # lines of its output: [first, last)


def steps_of(lines):
    steps, inside, i = [], False, 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("```"):
            inside = not inside and line.strip() == "```console"
        elif inside and line.startswith("$ "):
            command = line[2:]
            while lines[i + 1] == ">" or lines[i + 1].startswith("> "):
                i += 1
                command += "\n" + lines[i][2:]
            end = i + 1
            while not lines[end].startswith(("$ ", "```")):
                end += 1
            steps.append(Step(command, i + 1, end))
            i = end - 1
        i += 1
    return steps


class Shell:
    """One bash in a folder of its own; output and exit status of each command."""

    def __init__(self, bin_folder, env=None):
        self.folder = tempfile.mkdtemp(prefix="antag-doc-")
        os.chmod(self.folder, 0o755)
        full = dict(os.environ, PATH=f"{bin_folder}:{os.environ['PATH']}", TZ="UTC", COLUMNS="100", PS1="",
                    HOME=self.folder)
        full.pop("ANTOM_AGENT_HOME", None)
        full.update(env or {})
        self.bash = subprocess.Popen(["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder, env=full,
                                     text=True)

    def run(self, command):
        mark = "=-=-done-=-="
        self.bash.stdin.write(f"{command}\nprintf '\\n%s %s\\n' '{mark}' $?\n")
        self.bash.stdin.flush()
        out = []
        for line in self.bash.stdout:
            if line.startswith(mark):
                return "".join(out)[:-1], int(line.split()[1])
            out.append(line)
        raise AssertionError(f"the shell ended in: {command}\n{''.join(out)}")

    def close(self):
        self.bash.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self.bash.stdin.close()
        self.bash.stdout.read()
        self.bash.wait()


def check(path, bin_folder):
    """Differences as text, one a step; empty when the file tells the truth."""
    lines = pathlib.Path(path).read_text().splitlines()
    shell = Shell(bin_folder)
    wrong = []
    steps = steps_of(lines)
    try:
        for step in steps:
            said, _ = shell.run(step.command)
            want, got = mask("\n".join(lines[step.first:step.last])), mask(said)
            if want != got:
                wrong.append("\n".join([f"$ {step.command}", "the file says:", *want, "it printed:", *got]))
    finally:
        shell.close()
    return steps, wrong


def write(path, bin_folder):
    lines = pathlib.Path(path).read_text().splitlines()
    shell = Shell(bin_folder)
    out, at = [], 0
    try:
        for step in steps_of(lines):
            said, _ = shell.run(step.command)
            out += lines[at:step.first] + said.strip("\n").splitlines()
            at = step.last
    finally:
        shell.close()
    pathlib.Path(path).write_text("\n".join(out + lines[at:]) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "--write":
        sys.exit("usage: transcript.py --write FILE BIN-FOLDER")
    write(sys.argv[2], os.path.abspath(sys.argv[3]))
