#!/usr/bin/python3
"""A mail server for trying antom-agent out: it takes mail from the agent alone, over STARTTLS with a certificate made for
it, and writes each into a folder.

  antag-trymail FOLDER          serves until it is ended; FOLDER/agent.conf is the section [mail] for the agent
  antag-trymail FOLDER NAME     the code of the next mail to NAME@... that carries one (waits for it, 20 s)
"""
import logging
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


def serve(folder):
    import mailserver

    logging.getLogger("mail.log").setLevel(logging.ERROR)
    folder.mkdir(mode=0o755, exist_ok=True)
    with mailserver.MailServer(folder) as server:
        conf = folder / "agent.conf.new"
        conf.write_text(server.conf(folder, retry_ms=1000))
        conf.rename(folder / "agent.conf")  # there whole, or not
        seen = 0
        while True:
            with server.lock:
                server.lock.wait_for(lambda: len(server.mails) > seen)
                mails = server.mails[seen:]
            for mail in mails:
                seen += 1
                name = mail.to[0].partition("@")[0]
                (folder / f"{seen:04}.{name}.part").write_text(mail.text)
                (folder / f"{seen:04}.{name}.part").rename(folder / f"{seen:04}.{name}.txt")


def code(folder, name):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for path in sorted(folder.glob(f"*.{name}.txt")):
            found = re.search(r"^  Code:  (\S+)$", path.read_text(), re.M)
            if found and not path.with_suffix(".used").exists():
                path.with_suffix(".used").touch()
                print(found.group(1))
                return
        time.sleep(0.05)
    sys.exit(f"no mail with a code came to {name}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(pathlib.Path(sys.argv[1]).resolve())
    elif len(sys.argv) == 3:
        code(pathlib.Path(sys.argv[1]), sys.argv[2])
    else:
        sys.exit(__doc__)
