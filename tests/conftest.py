import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))

from agent_fixture import Agent  # noqa: E402
import judge  # noqa: E402
from swtpm import Tpm  # noqa: E402


@pytest.fixture(scope="session")
def antom_key():
    """The stand-in for Antom: signs responses and notifications."""
    return judge.new_key()


@pytest.fixture
def tpm(tmp_path):
    """A TPM of its own, which ends with the test."""
    t = Tpm(tmp_path)
    yield t
    t.kill()


@pytest.fixture
def agent():
    """A fresh, running agent with a `file` seal."""
    a = Agent()
    a.start()
    yield a
    a.remove()


@pytest.fixture(scope="module")
def shared_agent():
    """One running agent for a module whose tests do not disturb each other."""
    a = Agent()
    a.start()
    yield a
    a.remove()
