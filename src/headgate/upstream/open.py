"""The two network transports by name, as ``transport:`` in the configuration file says."""

from headgate.upstream.addresses import Origin
from headgate.upstream.lean import LeanTransport
from headgate.upstream.options import TransportOptions
from headgate.upstream.transport import Transport


def open_transport(kind: str, origin: Origin, options: TransportOptions) -> Transport:
    """Return a transport to ``origin``; ``kind`` is ``lean`` or ``aiohttp``. Nothing is connected yet.

    Raises:
        ValueError: another kind.
    """
    if kind == "lean":
        return LeanTransport(origin, options)
    if kind == "aiohttp":
        # aiohttp costs memory and start-up time that most installations need not pay.
        from headgate.upstream.aiohttp_transport import AiohttpTransport  # noqa: PLC0415

        return AiohttpTransport(origin, options)
    raise ValueError(f"no transport is called {kind!r}; there are 'lean' and 'aiohttp'")
