"""proto/vectors against an independent MessagePack library, and the Python client against them."""
import json
import pathlib
import struct
import sys

import msgpack
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
import antom_client  # noqa: E402
import make_vectors  # noqa: E402


def load(name):
    return json.loads((ROOT / "proto/vectors" / name).read_text())


def cases(name):
    return [pytest.param(case, id=case["name"]) for case in load(name)]


def value_of(case):
    data = bytes.fromhex(case["hex"])
    assert struct.unpack(">I", data[:4])[0] == len(data) - 4
    return data[4:]


def same(value, meant, lenient):
    """Does a decoded value mean what the JSON says? lenient: str and bin are the same."""
    if isinstance(meant, dict) and set(meant) == {"$bin"}:
        data = bytes.fromhex(meant["$bin"])
        return value == data or (lenient and isinstance(value, str) and value.encode() == data)
    if isinstance(meant, str):
        return value == meant or (lenient and isinstance(value, bytes) and value == meant.encode())
    if isinstance(meant, dict):
        if lenient and value == []:
            value = {}
        keys = {k.decode() if lenient and isinstance(k, bytes) else k: v for k, v in value.items()}
        return set(keys) == set(meant) and all(same(keys[k], meant[k], lenient) for k in meant)
    if isinstance(meant, list):
        return len(value) == len(meant) and all(same(v, m, lenient) for v, m in zip(value, meant))
    return value == meant and isinstance(value, bool) == isinstance(meant, bool)


@pytest.mark.parametrize("name", sorted(make_vectors.FILES))
def test_files_are_what_the_script_writes(name):
    written = (ROOT / "proto/vectors" / name).read_text()
    assert written == make_vectors.render(make_vectors.FILES[name]())


@pytest.mark.parametrize("name", sorted(make_vectors.FILES))
def test_names_are_unique(name):
    names = [case["name"] for case in load(name)]
    assert names and len(names) == len(set(names))


@pytest.mark.parametrize("case", cases("requests.json"))
def test_request(case):
    assert same(msgpack.unpackb(value_of(case)), case["message"], True)


@pytest.mark.parametrize("case", cases("answers.json"))
def test_answer(case):
    message = msgpack.unpackb(value_of(case))
    assert same(message, case["message"], False)
    if message[0] == 1 and message[2] is not None:
        error = antom_client.AntomError.of(message[2])
        assert error.class_ == case["class"]
        assert (error.code, error.field) == (message[2]["code"], message[2].get("field"))


def test_the_client_frames_alike():
    sign = next(case for case in load("requests.json") if case["name"] == "sign")
    params = {k: bytes.fromhex(v["$bin"]) if isinstance(v, dict) else v
              for k, v in sign["message"][3].items()}
    assert antom_client.frame([0, 2, "sign_request", params]).hex() == sign["hex"]


# ---- the same frames, sent to an agent


@pytest.mark.parametrize("case", cases("refused.json"))
def test_an_agent_refuses(shared_agent, case):
    with antom_client.Client(shared_agent.agent_sock) as client:
        client.send_raw(bytes.fromhex(case["hex"]))
        shape, id_, error, result = client.recv_message()
        assert (shape, id_, result) == (1, case["id"], None)
        assert error["name"] == case["error"], error
        if "field" in case:
            assert error.get("field") == case["field"], error
        if case["closes"]:
            with pytest.raises(antom_client.Closed):
                client.recv_message()
        else:
            assert client.call("health")["state"] == "ready"


@pytest.mark.parametrize("case", cases("requests.json"))
def test_an_agent_takes(shared_agent, case):
    """What comes of it depends on grants and keys; that it was understood does not."""
    with antom_client.Client(shared_agent.agent_sock) as client:
        client.send_raw(bytes.fromhex(case["hex"]))
        shape, id_, error, _ = client.recv_message()
        assert (shape, id_) == (1, case["message"][1])
        if error is not None and error["class"] == "caller":
            assert (error["name"], error.get("field")) == ("BAD_PARAM", "merchant"), error
        assert client.call("health")["state"] == "ready"
