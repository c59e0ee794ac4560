"""Client of antom-agent: signs requests to Antom and verifies what Antom sends, without holding a key.

    from antomagent import Client

    with Client() as agent:
        signed = agent.sign_request("shop/live", "POST", "/ams/api/v1/payments/pay", body)

Blocking: `Client`, for any number of threads. asyncio: `AsyncClient`, the same calls awaited. Everything that goes wrong is an
`AntomError`; a verification that returns has proven its message.
"""
from ._aio import AsyncClient
from ._client import Client
from ._errors import AntomError
from ._wire import Event, Signed, Verified

__all__ = ["AntomError", "AsyncClient", "Client", "Event", "Signed", "Verified"]
__version__ = "0.1.0"
