"""Headgate's own HTTP/1.1 client: what a gateway needs of one, and nothing that costs time on the way.

It keeps connections to one origin, writes a request in one piece, and hands the answer's bytes on from the callback
that received them. It has no cookies, redirects, caching or retries; HTTP/2 neither (with it, a caller who hangs up
cannot be passed on reliably).
"""

import asyncio
from functools import lru_cache, partial
from typing import Final

from headgate.upstream.addresses import Origin
from headgate.upstream.dial import dial
from headgate.upstream.exchange import Exchange
from headgate.upstream.head import render_head
from headgate.upstream.options import TransportOptions
from headgate.upstream.pool import Pool
from headgate.upstream.tls import client_context
from headgate.upstream.transport import ConnectTimeoutError, TotalTimeoutError, UpstreamRequest

_KEPT_HEADS: Final = 64
"""Rendered request heads kept per transport; the headers of a provider seldom differ between requests."""


class LeanTransport:
    """A `transport.Transport` to one origin. Use it within one event loop; close it with `aclose`.

    A request goes out again only where the pooled connection was found closed *before* anything was written to it.
    """

    def __init__(self, origin: Origin, options: TransportOptions = TransportOptions()) -> None:  # noqa: B008  frozen
        self._origin = origin
        self._options = options
        self._tls = (options.tls or client_context()) if origin.scheme == "https" else None
        self._head = lru_cache(_KEPT_HEADS)(partial(render_head, origin, options.proxy))
        self._pool: Pool | None = None
        self._is_retired = False

    async def send(self, request: UpstreamRequest) -> Exchange:
        """Send and wait for the answer's head; see `transport.Transport.send`.

        Raises:
            UpstreamFailure: and its kin.
            ValueError: the request's head is not fit to be sent (CR, LF or NUL in a value, a field of the transport's).
        """
        pool = self._pool
        if pool is None:
            pool = self._pool = self._make_pool(asyncio.get_running_loop())
        loop = pool.loop
        head = self._head(request.method, request.target, request.headers)
        timeouts = request.timeouts
        started = now = loop.time()
        total_at = started + timeouts.total
        connection = pool.take(started)
        if connection is None:
            try:
                connection = await pool.acquire(min(started + timeouts.connect, total_at))
            except ConnectTimeoutError as error:
                if timeouts.total <= timeouts.connect:
                    raise TotalTimeoutError("the time for the whole exchange ran out", sent=False) from error
                raise
            now = loop.time()
        exchange = connection.start(head, request, now, total_at)
        await exchange.arrived()
        return exchange

    async def retire(self) -> None:
        """Keep no connection any more; see `transport.Transport.retire`."""
        self._is_retired = True
        if self._pool is not None:
            self._pool.retire()

    async def aclose(self) -> None:
        """Close every connection; exchanges under way fail with `ConnectionCutError`."""
        if self._pool is not None:
            await self._pool.aclose()

    def _make_pool(self, loop: asyncio.AbstractEventLoop) -> Pool:
        pool = Pool(loop, self._options, partial(dial, self._origin, self._options, self._tls))
        if self._is_retired:
            pool.retire()
        return pool
