#!/usr/bin/python3
"""A false Antom for trying antom-agent out: a gateway over HTTPS with a certificate made for it, which drops the old key of
a client the moment it is given a new one, as nothing says that the real one does not.

  antag-tryantom FOLDER                    serves until it is ended; FOLDER/url is the gateway, FOLDER/antom.pub its public
                                           key, FOLDER/agent.conf the section [rotation] for the agent
  antag-tryantom FOLDER paste CLIENT_ID    the dashboard: the public key of standard input is that client's from now on
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


def take(antom, path):
    """A key that was pasted."""
    client_id, key = path.name.partition(".")[0], path.read_text().strip()
    try:
        if client_id in antom.keys:
            antom.replace(client_id, key)
        else:
            antom.register(client_id, key)
    except ValueError:
        path.rename(path.with_suffix(".refused"))
        return
    path.rename(path.with_suffix(".taken"))


def serve(folder):
    from false_antom import FalseAntom

    folder.mkdir(mode=0o755, exist_ok=True)
    with FalseAntom(folder, "replace") as antom:
        (folder / "url").write_text(antom.url)
        (folder / "antom.pub").write_text(antom.public_key)
        conf = folder / "agent.conf.new"
        conf.write_text(f"[rotation]\nca_file = {antom.ca}\nprobe_interval_ms = 1000\n")
        conf.rename(folder / "agent.conf")  # there whole, or not
        while True:
            for path in sorted(folder.glob("*.paste")):
                take(antom, path)
            time.sleep(0.05)


def paste(folder, client_id):
    path = folder / f"{client_id}.{time.time_ns()}.part"
    path.write_text(sys.stdin.read())
    ready, taken, refused = (path.with_suffix(s) for s in (".paste", ".taken", ".refused"))
    path.rename(ready)
    until = time.monotonic() + 20
    while not taken.exists():
        if refused.exists():
            sys.exit("this is no public key as Antom's dashboard takes it: one line of base64")
        if time.monotonic() > until:
            sys.exit("nobody serves there")
        time.sleep(0.02)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(pathlib.Path(sys.argv[1]).resolve())
    elif len(sys.argv) == 4 and sys.argv[2] == "paste":
        paste(pathlib.Path(sys.argv[1]), sys.argv[3])
    else:
        sys.exit(__doc__)
