"""The asyncio client: one connection, on which any number of calls are under way at a time."""
from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, AsyncIterator, Dict, Mapping, Optional, Tuple, Union

from . import _wire
from ._client import QUEUE_PAUSE
from ._errors import RETRY, AntomError, ConnectionLost, bad_frame, bad_param, timed_out, unreachable
from ._wire import Event, Headers, Signed, Verified

_ID_MAX = 0x7FFFFFFF
_AROUND = 4096  # bytes of a request beside its body, at most, but for headers


async def _dial(path: str) -> Tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(path)  # of a Unix socket at once, or not at all
            return await asyncio.open_unix_connection(sock=sock)
        except BlockingIOError:  # its queue is full: nothing tells when it is not
            sock.close()
            await asyncio.sleep(QUEUE_PAUSE)
        except BaseException:
            sock.close()
            raise


def _closed() -> AntomError:
    """Not repeated, unlike a connection that the agent closed."""
    return AntomError(RETRY, "RETRY", "retry", "the client was closed")


class _Link:
    """A connection with its reader. Once it is lost it stays so, and whoever waits is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.waiting: Dict[int, asyncio.Future] = {}
        self.events: asyncio.Queue = asyncio.Queue()
        self.watched, self.is_open, self.is_draining = False, True, False
        self.limits = {"requests": _wire.REQUESTS_MAX, "bytes": _wire.BYTES_MAX}
        self.taken, self.bytes, self.room = 0, 0, asyncio.Condition()
        self._next_id, self._said = 0, None
        self.came = 0  # how often something was read
        self.splitter = _wire.Splitter()
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        lost: AntomError
        try:
            while True:
                data = await self.reader.read(65536)
                if not data:
                    lost = ConnectionLost(self._said)
                    break
                self.came += 1
                for message in self.splitter.feed(data):
                    self._take(*message)
        except OSError:
            lost = ConnectionLost(self._said)
        except AntomError as e:
            lost = e
        except asyncio.CancelledError:
            lost = _closed()
        self.close(lost)

    def _take(self, kind: str, ident: Optional[int], error: Any, result: Any) -> None:
        if kind == "event":
            self.is_draining = self.is_draining or error == "draining"
            event = _wire.event_of(error, result) if self.watched else None
            if event is not None:
                self.events.put_nowait(event)
        elif ident is None:
            self._said = error
        else:
            future = self.waiting.get(ident)
            if future is not None and not future.done():
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

    def close(self, why: AntomError) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self.writer.close()
        self.task.cancel()
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(why)
        self.events.put_nowait(why)

    async def call(self, method: str, params: Mapping[str, Any], deadline: float) -> Any:
        """errors: the agent's; ConnectionLost; BAD_FRAME; asyncio.TimeoutError."""
        loop = asyncio.get_running_loop()
        ident = self._next_id
        self._next_id = (ident + 1) & _ID_MAX
        data = _wire.frame(ident, method, params)
        if not self.is_open:
            raise ConnectionLost()
        future = self.waiting[ident] = loop.create_future()
        try:
            self.writer.write(data)
            return await asyncio.wait_for(future, max(deadline - loop.time(), 0))
        finally:
            del self.waiting[ident]

    async def take_room(self, size: int) -> None:
        """Waits while the agent would answer BUSY, as more than its limits is under way. One request always fits."""
        async with self.room:
            while self.is_open and self.taken and (self.taken >= self.limits["requests"] or
                                                   self.bytes + size > self.limits["bytes"]):
                await self.room.wait()
            self.taken, self.bytes = self.taken + 1, self.bytes + size

    async def give_room(self, size: int) -> None:
        async with self.room:
            self.taken, self.bytes = self.taken - 1, self.bytes - size
            self.room.notify_all()


class AsyncClient:
    """Calls to one agent from one event loop. As `Client`, awaited; close it, or use it with `async with`."""

    def __init__(self, path: Union[str, os.PathLike, None] = None, *, timeout: float = 10.0, name: Optional[str] = None):
        self._path, self._timeout, self._name = _wire.socket_path(path), timeout, name or _wire.NAME
        if len(os.fsencode(self._path)) > 107:
            raise bad_param("path", "a socket's path has at most 107 bytes")
        self._link: Optional[_Link] = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Calls under way end with RETRY."""
        link, self._link = self._link, None
        if link is not None:
            link.close(_closed())
            await asyncio.gather(link.task, return_exceptions=True)

    # ---- calls

    async def sign_request(self, profile: str, method: str, uri: str, body: bytes, *, time: Optional[str] = None,
                           merchant: Optional[str] = None, trace: Optional[str] = None,
                           timeout: Optional[float] = None) -> Signed:
        """As Client.sign_request."""
        params = _wire.sign_params(profile, method, uri, body, time, merchant, trace)
        return _wire.signed_of(await self.call("sign_request", params, timeout))

    async def verify_response(self, profile: str, method: str, uri: str, headers: Headers, body: bytes, *,
                              max_age_ms: Optional[int] = None, trace: Optional[str] = None,
                              timeout: Optional[float] = None) -> Verified:
        """As Client.verify_response: raises unless the response is proven to be Antom's."""
        params = _wire.verify_params(profile, method, uri, headers, body, max_age_ms, trace)
        return _wire.verified_of(await self.call("verify_response", params, timeout))

    async def verify_notification(self, profile: str, method: str, uri: str, headers: Headers, body: bytes, *,
                                  max_age_ms: Optional[int] = None, trace: Optional[str] = None,
                                  timeout: Optional[float] = None) -> Verified:
        """As Client.verify_notification: raises unless the notification is proven to be Antom's."""
        params = _wire.verify_params(profile, method, uri, headers, body, max_age_ms, trace)
        return _wire.verified_of(await self.call("verify_notification", params, timeout))

    async def explain(self, kind: str, profile: str, method: str, uri: str, body: bytes, *,
                      timeout: Optional[float] = None, **more: Any) -> Dict[str, Any]:
        """As Client.explain."""
        return _wire.map_of(await self.call("explain", {"kind": kind, "profile": profile, "method": method, "uri": uri,
                                                        "body": bytes(body), **more}, timeout))

    async def health(self, *, timeout: Optional[float] = None) -> Dict[str, Any]:
        """As Client.health."""
        result = _wire.map_of(await self.call("health", {}, timeout))
        if not isinstance(result.get("state"), str):
            raise bad_frame("a result without state")
        return result

    async def watch(self) -> AsyncIterator[Event]:
        """As Client.watch: events until the connection is lost, then AntomError."""
        deadline = asyncio.get_running_loop().time() + self._timeout
        link = await self._connect(deadline)
        link.watched = True
        try:
            result = _wire.map_of(await self._in_time(link, "watch", {}, deadline))
            if _wire.event_of("epoch", result) is None:
                raise bad_frame("a result without epoch")
            yield Event("epoch", {"epoch": result["epoch"]})
            while True:
                event = await link.events.get()
                if isinstance(event, AntomError):
                    raise event._shown()
                yield event
        finally:
            link.close(ConnectionLost(None, "the watch was ended"))

    async def call(self, method: str, params: Mapping[str, Any], timeout: Optional[float] = None) -> Any:
        """Any method of the agent; its result as it came."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._timeout if timeout is None else timeout)
        try:
            return await self._try(method, params, deadline)
        except AntomError as e:
            pause = e._pause()
            if pause is None or loop.time() + pause >= deadline:
                raise e._shown() from None
        await asyncio.sleep(pause)
        try:
            return await self._try(method, params, deadline)
        except AntomError as e:
            raise e._shown() from None

    async def _try(self, method: str, params: Mapping[str, Any], deadline: float) -> Any:
        loop = asyncio.get_running_loop()
        try:
            link = await self._usable(deadline)
            size = len(params.get("body") or b"") + _AROUND
            await asyncio.wait_for(link.take_room(size), max(deadline - loop.time(), 0))
        except asyncio.TimeoutError as e:
            raise timed_out() from e
        try:
            left_ms = int((deadline - loop.time()) * 1000)
            if left_ms < 1:
                raise timed_out()
            return await self._in_time(link, method, {**params, "deadline_ms": left_ms}, deadline)
        finally:
            await link.give_room(size)

    @staticmethod
    async def _in_time(link: _Link, method: str, params: Mapping[str, Any], deadline: float) -> Any:
        came = link.came
        try:
            return await link.call(method, params, deadline)
        except asyncio.TimeoutError as e:  # its id is not used again, so a late answer meets nobody
            if link.came == came:
                link.close(ConnectionLost(None, "the connection was given up, as nothing came on it any more"))
            raise timed_out() from e

    async def _usable(self, deadline: float) -> _Link:
        async with self._connecting:
            if self._link is None or not self._link.is_open or self._link.is_draining:
                self._link = await self._connect(deadline)
            return self._link

    async def _connect(self, deadline: float) -> _Link:
        left = max(deadline - asyncio.get_running_loop().time(), 0)
        try:
            reader, writer = await asyncio.wait_for(_dial(self._path), left)
        except asyncio.TimeoutError as e:
            raise timed_out() from e
        except OSError as e:
            raise unreachable(self._path, e.strerror or e) from e
        link = _Link(reader, writer)
        try:
            hello = _wire.map_of(await self._in_time(link, "hello", {"versions": [1], "client": self._name}, deadline))
        except BaseException:
            link.close(ConnectionLost())
            raise
        limits = hello.get("limits")
        if isinstance(limits, dict):
            for ours, theirs in (("requests", "requests_per_connection"), ("bytes", "bytes_per_connection")):
                if isinstance(limits.get(theirs), int):
                    link.limits[ours] = limits[theirs]
            if isinstance(limits.get("frame"), int):
                link.splitter.limit = limits["frame"]
        return link
