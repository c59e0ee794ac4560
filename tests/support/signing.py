"""What tests of the record ask again and again: one signature, its refusal, and a wait."""
import time

import judge
from agent_fixture import SLOW
from antom_client import AntomError, Client

LIVE, SANDBOX = "shop/live", "shop/sandbox"
PAY = "/ams/api/v1/payments/pay"
SANDBOX_PAY = "/ams/sandbox/api/v1/payments/pay"  # what it becomes for a sandbox profile


def sign(agent, profile, **more):
    with Client(agent.agent_sock, timeout=10 * SLOW) as c:
        return c.call("sign_request", profile=profile, method="POST", uri=PAY, body=b"{}", **more)


def judged(agent, profile, client_id):
    """The answer for a sandbox profile, after the signature was verified under the exported public key by another implementation."""
    public = judge.load_public(agent.ctl("key", "export", profile)["public_key"])
    answer = sign(agent, profile)
    judge.judge_request(public, "POST", SANDBOX_PAY, client_id, answer["headers"], b"{}")
    return answer


def try_to_sign(agent, profile=SANDBOX):
    """For wait_until, which tells when it goes on."""
    try:
        return sign(agent, profile)
    except (AntomError, OSError, EOFError):
        return None


def refusal(agent, profile, **more):
    try:
        sign(agent, profile, **more)
    except AntomError as error:
        return error
    raise AssertionError(f"{profile} signs")


def wait_until(what, condition, seconds=20):
    """Until `condition` gives something true; that."""
    end = time.monotonic() + seconds * SLOW
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds * SLOW} s"
        time.sleep(0.02)
    return value
