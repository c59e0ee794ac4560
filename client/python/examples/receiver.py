#!/usr/bin/env python3
"""Receives Antom's notifications with http.server.   receiver.py APP/ENV PORT   (0: any port)"""
import http.server
import sys

from antomagent import AntomError, Client

BODY_MAX = 1048576
DONE = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}'
agent = Client(name="receiver.py 1")


class Receiver(http.server.BaseHTTPRequestHandler):
    profile = ""

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        if size > BODY_MAX:
            self.answer(413, b"")
            self.close_connection = True
            return
        body = self.rfile.read(size)  # the bytes as they came: parsed after they are proven, not before
        try:
            # self.path is the raw request target. Behind a proxy that rewrites it, pass on the one that reached the proxy
            agent.verify_notification(self.profile, "POST", self.path, self.headers.items(), body)
        except AntomError as e:
            print(f"refused {self.path}: {e}", file=sys.stderr, flush=True)
            self.answer(400 if e.error_class in ("verify", "caller") else 503, b"")  # 503: Antom sends it again
            return
        print(f"notified {self.path} {len(body)}", flush=True)
        # Antom repeats notifications: what is done here must be done once for each paymentRequestId and notifyType
        self.answer(200, DONE)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Receiver.profile = sys.argv[1]
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Receiver) as server:
        print(f"listening on {server.server_port}", flush=True)
        server.serve_forever()
