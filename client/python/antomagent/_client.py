"""The blocking client: connections in a pool, one for each thread that is in a call."""
from __future__ import annotations

import os
import socket
import threading
import time as clock
import weakref
from typing import Any, Dict, Iterator, List, Mapping, Optional, Union

from . import _wire
from ._errors import AntomError, ConnectionLost, bad_frame, bad_param, timed_out, unreachable
from ._wire import Event, Headers, Signed, Verified

_ID_MAX = 0x7FFFFFFF
QUEUE_PAUSE = 0.01


class _Connection:
    """For one thread at a time. After an error that is not the agent's answer it is closed."""

    def __init__(self, path: str, name: str, deadline: float):
        self.is_draining, self._next_id, self._said = False, 0, None
        self._messages: List[Any] = []
        self._splitter = _wire.Splitter()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._dial(path, deadline)
        except TimeoutError as e:
            self.close()
            raise timed_out() from e
        except OSError as e:
            self.close()
            raise unreachable(path, e.strerror or e) from e
        try:
            limits = _wire.map_of(self.call("hello", {"versions": [1], "client": name}, deadline)).get("limits")
        except BaseException:
            self.close()
            raise
        if isinstance(limits, dict) and isinstance(limits.get("frame"), int):
            self._splitter.limit = limits["frame"]

    def _dial(self, path: str, deadline: float) -> None:
        while True:
            self._sock.settimeout(_left(deadline))
            try:
                self._sock.connect(path)
                return
            except BlockingIOError:  # its queue is full: nothing tells when it is not
                clock.sleep(min(QUEUE_PAUSE, _left(deadline)))

    def close(self) -> None:
        self._sock.close()

    def call(self, method: str, params: Mapping[str, Any], deadline: float) -> Any:
        """errors: the agent's; ConnectionLost; TIMEOUT; BAD_FRAME."""
        ident = self._next_id
        self._next_id = (ident + 1) & _ID_MAX
        data = _wire.frame(ident, method, params)
        try:
            self._send(data, deadline)
            return self._answer(ident, deadline)
        except TimeoutError as e:
            self.close()  # a late answer must not meet a new request
            raise timed_out() from e
        except OSError as e:
            self.close()
            raise ConnectionLost(self._said) from e
        except ConnectionLost:
            self.close()
            raise

    def _send(self, data: bytes, deadline: float) -> None:
        self._sock.settimeout(_left(deadline))
        try:
            self._sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have said why: read on

    def _answer(self, ident: int, deadline: float) -> Any:
        while True:
            kind, of, error, result = self.receive(deadline)
            if kind == "event":
                self.is_draining = self.is_draining or error == "draining"
            elif of is None:
                self._said = error
            elif of == ident:
                if error is not None:
                    raise error
                return result

    def receive(self, deadline: Optional[float]) -> Any:
        """The next message. errors: ConnectionLost; TimeoutError; BAD_FRAME, and then it is closed."""
        while not self._messages:
            self._sock.settimeout(None if deadline is None else _left(deadline))
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionLost(self._said)
            try:
                self._messages = self._splitter.feed(data)
            except AntomError:
                self.close()
                raise
        return self._messages.pop(0)

    def next_event(self) -> Event:
        while True:
            kind, _, name, params = self.receive(None)
            event = _wire.event_of(name, params) if kind == "event" else None
            if event is not None:
                return event

    @property
    def is_clean(self) -> bool:
        return self._sock.fileno() >= 0 and not self.is_draining


def _left(deadline: float) -> float:
    left = deadline - clock.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class Client:
    """Calls to one agent, from any number of threads.

    path     of agent.sock; None: $ANTOM_AGENT_SOCKET, else /run/antom-agent/agent.sock
    timeout  seconds for each call, its repetition included, unless the call names another
    name     of your service and its version, for the agent's log

    Nothing is connected before the first call. A connection that is lost, and an error of class "retry", are repeated once,
    if there is time. A process that forks may go on using its client: the child connects anew."""

    def __init__(self, path: Union[str, os.PathLike, None] = None, *, timeout: float = 10.0, name: Optional[str] = None):
        self._path, self._timeout, self._name = _wire.socket_path(path), timeout, name or _wire.NAME
        if len(os.fsencode(self._path)) > 107:
            raise bad_param("path", "a socket's path has at most 107 bytes")
        self._lock, self._idle = threading.Lock(), []
        _all.add(self)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is idle; calls under way end as they would."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # ---- calls

    def sign_request(self, profile: str, method: str, uri: str, body: bytes, *, time: Optional[str] = None,
                     merchant: Optional[str] = None, trace: Optional[str] = None, timeout: Optional[float] = None) -> Signed:
        """Signs a request to Antom. `uri`: path and query; `body`: exactly the bytes that will be sent; `time`: what shall
        stand in Request-Time instead of the agent's clock; `merchant`: for ISVs."""
        params = _wire.sign_params(profile, method, uri, body, time, merchant, trace)
        return _wire.signed_of(self.call("sign_request", params, timeout))

    def verify_response(self, profile: str, method: str, uri: str, headers: Headers, body: bytes, *,
                        max_age_ms: Optional[int] = None, trace: Optional[str] = None,
                        timeout: Optional[float] = None) -> Verified:
        """Proves that a response is Antom's. `method`, `uri`: of the request; `headers`, `body`: as they came, before any
        parsing. Raises AntomError for everything that is not proven."""
        params = _wire.verify_params(profile, method, uri, headers, body, max_age_ms, trace)
        return _wire.verified_of(self.call("verify_response", params, timeout))

    def verify_notification(self, profile: str, method: str, uri: str, headers: Headers, body: bytes, *,
                            max_age_ms: Optional[int] = None, trace: Optional[str] = None,
                            timeout: Optional[float] = None) -> Verified:
        """Proves that a notification is Antom's. `uri`: the raw request target as it reached your edge, not decoded and not
        rewritten. Raises AntomError for everything that is not proven. Antom repeats notifications: expect each twice."""
        params = _wire.verify_params(profile, method, uri, headers, body, max_age_ms, trace)
        return _wire.verified_of(self.call("verify_notification", params, timeout))

    def explain(self, kind: str, profile: str, method: str, uri: str, body: bytes, *, timeout: Optional[float] = None,
                **more: Any) -> Dict[str, Any]:
        """What is signed, and which mistake explains a refusal: for people who look for a fault. `kind`: sign, response or
        notification; `more`: headers, time, merchant, max_age_ms, as PROTOCOL.md has it."""
        return _wire.map_of(self.call("explain", {"kind": kind, "profile": profile, "method": method, "uri": uri,
                                                  "body": bytes(body), **more}, timeout))

    def health(self, *, timeout: Optional[float] = None) -> Dict[str, Any]:
        """State of the agent and of the profiles this caller may use; answers while the agent is locked, too."""
        result = _wire.map_of(self.call("health", {}, timeout))
        if not isinstance(result.get("state"), str):
            raise bad_frame("a result without state")
        return result

    def watch(self) -> Iterator[Event]:
        """Events as they come, the epoch in force first, on a connection of its own, until that is lost: then AntomError.
        Close the iterator to end it."""
        deadline = clock.monotonic() + self._timeout
        connection = _Connection(self._path, self._name, deadline)
        try:
            result = _wire.map_of(connection.call("watch", {}, deadline))
            first = _wire.event_of("epoch", result)
            if first is None:
                raise bad_frame("a result without epoch")
            yield Event("epoch", {"epoch": result["epoch"]})
            while True:
                yield connection.next_event()
        except OSError as e:
            raise ConnectionLost() from e
        finally:
            connection.close()

    def call(self, method: str, params: Mapping[str, Any], timeout: Optional[float] = None) -> Any:
        """Any method of the agent; its result as it came."""
        deadline = clock.monotonic() + (self._timeout if timeout is None else timeout)
        try:
            return self._try(method, params, deadline, fresh=False)
        except AntomError as e:
            pause = e._pause()
            if pause is None or clock.monotonic() + pause >= deadline:
                raise e._shown() from None
        clock.sleep(pause)
        try:
            return self._try(method, params, deadline, fresh=True)
        except AntomError as e:
            raise e._shown() from None

    def _try(self, method: str, params: Mapping[str, Any], deadline: float, fresh: bool) -> Any:
        connection = None if fresh else self._take()
        if connection is None:
            connection = _Connection(self._path, self._name, deadline)
        left_ms = int((deadline - clock.monotonic()) * 1000)
        try:
            if left_ms < 1:
                raise timed_out()
            return connection.call(method, {**params, "deadline_ms": left_ms}, deadline)
        finally:
            self._give(connection)

    def _take(self) -> Optional[_Connection]:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give(self, connection: _Connection) -> None:
        if not connection.is_clean:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _forked(self) -> None:
        self._lock = threading.Lock()
        for connection in self._idle:
            connection.close()  # this process's descriptor; the parent's stays
        self._idle = []


_all: "weakref.WeakSet[Client]" = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_all):
        client._forked()


os.register_at_fork(after_in_child=_after_fork)
