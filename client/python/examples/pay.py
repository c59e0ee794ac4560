#!/usr/bin/env python3
"""One payment: signed by the agent, sent by urllib, its response proven by the agent.   pay.py APP/ENV [AMOUNT]"""
import json
import sys
import urllib.error
import urllib.request
import uuid

from antomagent import AntomError, Client

PAY = "/ams/api/v1/payments/pay"


def main(profile, amount="100"):
    body = json.dumps({"paymentRequestId": str(uuid.uuid4()), "paymentAmount": {"currency": "USD", "value": amount}}).encode()
    with Client(name="pay.py 1") as agent:
        signed = agent.sign_request(profile, "POST", PAY, body)
        if signed.url is None:
            sys.exit(f"{profile} has no gateway yet")
        request = urllib.request.Request(signed.url, body, signed.headers)  # certificates: the system's, or $SSL_CERT_FILE
        try:
            response = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as e:
            response = e  # it may be signed all the same
        with response:
            came = response.read()
        agent.verify_response(profile, "POST", signed.uri, response.headers.items(), came)
    answer = json.loads(came)
    print("paid", answer.get("paymentId") or answer["result"]["resultCode"])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AntomError as e:
        sys.exit(f"{e.code} {e}")
