"""Antom's official Python SDK (global-open-sdk-python 1.x) on the agent's keys.

    import com.alipay.ams.api.default_alipay_client as sdk
    import antomagent, antomagent.sdk

    antomagent.sdk.install(sdk, antomagent.Client(), {"5Y...": "shop/live"})
    client = sdk.DefaultAlipayClient(gateway_url, "5Y...", "", "")     # no private key, and no public one either

The SDK's module calls three functions by global names: `sign`, `do_post`, `verify`. `install` replaces them: the request is signed
by the agent when it is sent, and the response is proven by the agent before the SDK sees it; everything unsigned or half-signed
is an AntomError. For all clients of that module, in this process. Lost: the SDK's own transport (this one checks certificates,
which that does not), and its `Accept` headers. Run against a stand-in of that seam, not against the SDK itself."""
from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, List, Mapping, Optional, Tuple

from ._client import Client
from ._errors import AntomError, bad_param

BODY_MAX = 1048576
_REPLACED = {"client-id", "request-time", "signature", "content-type", "agent-token"}


class Transport:
    """In place of the SDK's `do_post`: (url, headers, body) -> ([(lower-case name, value)], bytes), for proven responses only.

    profiles  client id -> profile of the agent
    context   of TLS; None: the system's authorities ($SSL_CERT_FILE), host names checked
    timeout   seconds for the HTTP exchange"""

    def __init__(self, agent: Client, profiles: Mapping[str, str], *, context: Optional[ssl.SSLContext] = None,
                 timeout: float = 30.0):
        self._agent, self._profiles, self._timeout = agent, dict(profiles), timeout
        self._context = context or ssl.create_default_context()
        self._proven = threading.local()

    def __call__(self, url: str, headers: Mapping[str, str], body: Any) -> Tuple[List[Tuple[str, str]], bytes]:
        data = body.encode() if isinstance(body, str) else bytes(body)
        profile = self._profile_of(headers)
        parts = urllib.parse.urlsplit(url)
        uri = parts.path + (f"?{parts.query}" if parts.query else "")
        signed = self._agent.sign_request(profile, "POST", uri, data)
        kept = {k: v for k, v in headers.items() if k.lower() not in _REPLACED}
        request = urllib.request.Request(f"{parts.scheme}://{parts.netloc}{signed.uri}", data, {**kept, **signed.headers})
        came, answer = self._exchange(request)
        self._agent.verify_response(profile, "POST", signed.uri, came, answer)
        lower = [(k.lower(), v) for k, v in came]
        self._proven.last = (dict(lower)["response-time"], answer)
        return lower, answer

    def was_proven(self, time: str, body: str) -> bool:
        """Is this the response that this thread was given last?"""
        return getattr(self._proven, "last", None) == (time, body.encode())

    def _profile_of(self, headers: Mapping[str, str]) -> str:
        client_id = next((v for k, v in headers.items() if k.lower() == "client-id"), "")
        if client_id not in self._profiles:
            raise bad_param("client-id", f"no profile is named for the client id {client_id!r}; see antomagent.sdk.install")
        return self._profiles[client_id]

    def _exchange(self, request: urllib.request.Request) -> Tuple[List[Tuple[str, str]], bytes]:
        handler = urllib.request.HTTPSHandler(context=self._context)
        try:
            response = urllib.request.build_opener(handler).open(request, timeout=self._timeout)
        except urllib.error.HTTPError as e:
            response = e  # its status proves nothing either way; the signature does
        with response:
            body = response.read(BODY_MAX + 1)
            if len(body) > BODY_MAX:
                raise bad_param("body", f"the response has more than {BODY_MAX} bytes")
            return list(response.headers.items()), body


def install(module: Any, agent: Client, profiles: Mapping[str, str], **options: Any) -> Transport:
    """Has the SDK's module sign and verify through `agent`. `options`: as of Transport."""
    for name in ("sign", "verify", "do_post"):
        if not callable(getattr(module, name, None)):
            raise AttributeError(f"{module.__name__} has no function {name}: this is not the module that the adapter knows")
    transport = Transport(agent, profiles, **options)

    def sign(*_: Any) -> str:
        return ""  # the transport signs, when the request is complete

    def verify(_method: str, _path: str, _client_id: str, time: str, body: str, *_: Any) -> bool:
        return transport.was_proven(time, body)

    module.sign, module.verify, module.do_post = sign, verify, transport
    return transport


__all__ = ["AntomError", "Transport", "install"]
