"""What tests of the record ask again and again: one signature, its refusal, and a wait."""
import time

from agent_fixture import SLOW
from antom_client import AntomError, Client

LIVE, SANDBOX = "shop/live", "shop/sandbox"
PAY = "/ams/api/v1/payments/pay"


def sign(agent, profile, **more):
    with Client(agent.agent_sock) as c:
        return c.call("sign_request", profile=profile, method="POST", uri=PAY, body=b"{}", **more)


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
