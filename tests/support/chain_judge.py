"""Reads a chain of the record from its files and judges it. Written from agent/lib/chain/line.h and
chain.h alone; shares no code with the agent: hashes by hashlib, signatures by `cryptography`."""
import hashlib
import json
import pathlib
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ZEROS = "0" * 64
FRAME = re.compile(rb'\{"v":1,"chain":"([a-z0-9-]+)","seq":([1-9][0-9]*),"time":"([^"]+)","type":"([a-z]+)".*'
                   rb',"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n', re.S)


class Wrong(AssertionError):
    pass


def need(condition, *what):
    if not condition:
        raise Wrong(" ".join(str(w) for w in what))


def parse(raw):
    """A line with its newline as a dict, or None where it is none or was changed."""
    found = FRAME.fullmatch(raw)
    if not found or any(c > 126 or c < 32 for c in raw[:-1]):
        return None
    covered = raw[:raw.rindex(b',"hash":"')]
    if hashlib.blake2b(covered, digest_size=32).hexdigest() != found[6].decode():
        return None
    line = json.loads(raw)
    need(list(line)[:5] == ["v", "chain", "seq", "time", "type"] and list(line)[-2:] == ["prev", "hash"], raw)
    return line


class Chain:
    """Every line once, in order. Raises Wrong for what no failure of a machine can leave behind."""

    def __init__(self, audit, name):
        self.name, self.lines, self.torn, self.checkpoints = name, {}, 0, 0
        self.last, self.last_hash, self.key, self.tail = 0, ZEROS, None, 0
        self.files = sorted(pathlib.Path(audit, name).glob("*.jsonl"))
        for number, path in enumerate(self.files, 1):
            need(path.name == f"{number:08}.jsonl", path, "is not segment", number)
            need(path.stat().st_mode & 0o777 == 0o600, path, oct(path.stat().st_mode))
            self.segment(number, path)

    def segment(self, number, path):
        lines, good = path.read_bytes().splitlines(keepends=True), []
        while lines and (line := parse(lines[0])) is not None:
            good.append(line)
            lines.pop(0)
        need(all(parse(line) is None for line in lines), path, "has good lines behind a bad one")
        before, self.tail = self.tail, sum(map(len, lines))
        if not good:  # killed before the first line was there
            self.tail += before
            return
        opening, *rest = good
        need(opening["type"] == "segment" and opening["segment"] == number, path, opening)
        need(opening.get("torn", 0) == before, path, "says torn", opening.get("torn"), "of", before)
        self.torn += before
        self.key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(opening["key"]))
        again, rest = rest[:opening["repeats"]], rest[opening["repeats"]:]
        for line in again:
            need(line["seq"] < opening["seq"], path, line)
            if line["seq"] in self.lines:
                need(self.lines[line["seq"]] == line, path, line, "was another")
            else:
                self.take(line)
        if len(again) < opening["repeats"] and opening["seq"] != self.last + 1:
            return  # unfinished: the first line does not count
        for line in [opening, *rest]:
            self.take(line)

    def take(self, line):
        need(line["chain"] == self.name and line["seq"] == self.last + 1, line, "behind", self.last)
        need(line["prev"] == self.last_hash, line, "does not follow")
        if line["type"] == "checkpoint":
            need(line["at_seq"] == self.last and line["at_hash"] == self.last_hash, line)
            text = f"antom-agent checkpoint\n{self.name}\n{self.last}\n{self.last_hash}\n".encode()
            self.key.verify(bytes.fromhex(line["signature"]), text)
            self.checkpoints += 1
        self.lines[line["seq"]] = line
        self.last, self.last_hash = line["seq"], line["hash"]

    def of(self, record):
        """The line that `record` of an answer names."""
        chain, seq = record.split(":")
        need(chain == self.name and int(seq) in self.lines, record, "has no line")
        return self.lines[int(seq)]

    def signs(self):
        return [line for line in self.lines.values() if line["type"] == "sign"]

    def deeds(self):
        """The steward's: numbered without a gap, epochs that rise but where the registry was set back."""
        deeds = [line for line in self.lines.values() if line["type"] == "deed"]
        for line in deeds:
            need(("uid" in line) != (line.get("by") == "agent") and line["what"] and line["epoch"] > 0, line)
        for one, two in zip(deeds, deeds[1:]):
            back = two.get("behind", 0) > one["epoch"] - 1 and two["epoch"] <= two["behind"]
            need(back or (two["deed"] == one["deed"] + 1 and two["epoch"] > one["epoch"])
                 or (two["what"] == "registry_confirm" and two["epoch"] > one["epoch"]), one, two)
        return deeds


class Record:
    """All chains, each held against what the others noted of it."""

    def __init__(self, audit):
        names = sorted(p.name for p in pathlib.Path(audit).iterdir())
        self.chains = {name: Chain(audit, name) for name in names}
        self.noted = 0
        for chain in self.chains.values():
            for line in chain.lines.values():
                if line["type"] in ("head", "known"):
                    of = self.chains[line["of"] if line["type"] == "head" else chain.name]
                    need(line["at_seq"] in of.lines, line, "is cut off")
                    need(of.lines[line["at_seq"]]["hash"] == line["at_hash"], line, "is another")
                    need(line["type"] == "head" or line["at_seq"] < line["seq"], line, "is known too early")
                    self.noted += 1
