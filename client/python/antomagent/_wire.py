"""Frames, messages and results of the protocol; no sockets."""
from __future__ import annotations

import dataclasses
import os
import struct
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import msgpack

from ._errors import AntomError, bad_frame, bad_param

SOCKET_DEFAULT = "/run/antom-agent/agent.sock"
FRAME_MAX = 1114112  # until hello tells another
REQUESTS_MAX, BYTES_MAX = 128, 8388608
NAME = "antomagent-python/0.1.0"

Headers = Mapping[str, Union[str, Sequence[str], None]]


@dataclasses.dataclass(frozen=True)
class Signed:
    """A signed request. Send all `headers` and the body unchanged, to `url`, or to `uri` of the gateway you use.

    `uri` may differ from the one you gave (sandbox paths); it is the one that is signed. `url` is None while the profile has
    no gateway. Keep `record` beside the payment: it names the line of the agent's record that says who had this signed."""
    headers: Dict[str, str]
    uri: str
    url: Optional[str]
    version: int
    key_version: int
    record: str


@dataclasses.dataclass(frozen=True)
class Verified:
    """Proof that a message came from Antom: the version of the Antom key, the message's time, its age in milliseconds."""
    version: int
    time: str
    age_ms: int


@dataclasses.dataclass(frozen=True)
class Event:
    """What changed at the agent. name: epoch, profile, state, lagged or draining; params: see PROTOCOL.md, `watch`."""
    name: str
    params: Dict[str, Any]


_EVENTS = {"epoch": {"epoch": int}, "profile": {"profile": str, "sign": str}, "state": {"state": str},
           "lagged": {"epoch": int}, "draining": {}}


def socket_path(path: Union[str, os.PathLike, None]) -> str:
    return str(path or os.environ.get("ANTOM_AGENT_SOCKET") or SOCKET_DEFAULT)


def frame(ident: int, method: str, params: Mapping[str, Any]) -> bytes:
    try:
        value = msgpack.packb([0, ident, method, params], use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as e:
        raise bad_param("params", f"cannot be sent: {e}") from e
    if len(value) > FRAME_MAX:
        raise bad_param("body", f"the request has {len(value)} bytes; at most {FRAME_MAX} can be sent")
    return struct.pack(">I", len(value)) + value


class Splitter:
    """Bytes as they come into messages."""

    def __init__(self, limit: int = FRAME_MAX):
        self.limit, self._data = limit, bytearray()

    def feed(self, data: bytes) -> List[Any]:
        """The messages that are whole now. errors: BAD_FRAME."""
        self._data += data
        out = []
        while len(self._data) >= 4:
            size = struct.unpack_from(">I", self._data)[0]
            if size == 0 or size > self.limit:
                raise bad_frame(f"a frame of {size} bytes")
            if len(self._data) < 4 + size:
                break
            out.append(_message(bytes(self._data[4:4 + size])))
            del self._data[:4 + size]
        return out


def _message(data: bytes) -> Tuple[str, Any, Any, Any]:
    """("answer", id, error or None, result) or ("event", None, name, params)."""
    try:
        m = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except Exception as e:  # msgpack raises many kinds for bytes that are no value  # noqa: BLE001
        raise bad_frame("bytes that are no message") from e
    if isinstance(m, list) and len(m) == 4 and m[0] == 1 and (m[1] is None or _is_int(m[1])):
        if m[2] is None:
            return "answer", m[1], None, m[3]
        if isinstance(m[2], dict):
            return "answer", m[1], AntomError.from_map(m[2]), None
    if isinstance(m, list) and len(m) == 3 and m[0] == 2 and isinstance(m[1], str):
        return "event", None, m[1], m[2]
    raise bad_frame("a value that is no message")


def _is_int(v: Any) -> bool:
    return isinstance(v, int) and not isinstance(v, bool)


def event_of(name: str, params: Any) -> Optional[Event]:
    """None: of a name, or in a form, that this version does not know."""
    wanted = _EVENTS.get(name)
    if wanted is None or not isinstance(params, dict):
        return None
    if any(not isinstance(params.get(k), t) or isinstance(params.get(k), bool) for k, t in wanted.items()):
        return None
    if name == "profile" and params["sign"] == "ready" and not all(_is_int(params.get(k)) for k in ("version", "key_version")):
        return None
    return Event(name, params)


# ---- params


def _given(**params: Any) -> Dict[str, Any]:
    return {k: v for k, v in params.items() if v is not None}


def _bytes(body: Any) -> bytes:
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise bad_param("body", f"is bytes, exactly as they are sent or came, not {type(body).__name__}")
    return bytes(body)


def sign_params(profile, method, uri, body, time, merchant, trace):
    return _given(profile=profile, method=method, uri=uri, body=_bytes(body), time=time, merchant=merchant, trace=trace)


def verify_params(profile, method, uri, headers, body, max_age_ms, trace):
    try:
        pairs = list((headers.items() if hasattr(headers, "items") else headers) or [])
        named: Dict[str, Any] = {}
        for name, value in pairs:  # one name twice is for the agent to judge, so nothing is folded together here
            value = list(value) if isinstance(value, (list, tuple)) else value
            if name in named:
                before = named[name] if isinstance(named[name], list) else [named[name]]
                value = before + (value if isinstance(value, list) else [value])
            named[name] = value
    except (TypeError, ValueError) as e:
        raise bad_param("headers", "are a mapping of names to texts, or pairs") from e
    return _given(profile=profile, method=method, uri=uri, headers=named, body=_bytes(body), max_age_ms=max_age_ms, trace=trace)


# ---- results


def _need(result: Any, name: str, kind: type) -> Any:
    value = result.get(name) if isinstance(result, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise bad_frame(f"a result without {name}")
    return value


def map_of(result: Any) -> Dict[str, Any]:
    if not isinstance(result, dict):
        raise bad_frame("a result that is no map")
    return result


def signed_of(result: Any) -> Signed:
    headers = _need(result, "headers", dict)
    for name in ("Client-Id", "Request-Time", "Signature", "Content-Type"):
        if not isinstance(headers.get(name), str) or not headers[name]:
            raise bad_frame(f"a result without the header {name}")
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in headers.items()):
        raise bad_frame("a header that is no text")
    url = result.get("url")
    return Signed(headers, _need(result, "uri", str), url if isinstance(url, str) else None, _need(result, "version", int),
                  _need(result, "key_version", int), _need(result, "record", str))


def verified_of(result: Any) -> Verified:
    return Verified(_need(result, "version", int), _need(result, "time", str), _need(result, "age_ms", int))
