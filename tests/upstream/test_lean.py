import asyncio

import pytest

from headgate.upstream.addresses import Origin
from headgate.upstream.lean import LeanTransport
from headgate.upstream.options import TransportOptions
from headgate.upstream.transport import Timeouts, TotalTimeoutError, UpstreamRequest
from tests.upstream.scripted_server import OK, answering, scripted, until

LOCAL = TransportOptions(allow_private_network=True)


async def test_a_kept_head_never_serves_other_headers_targets_or_methods() -> None:
    async with scripted(answering(OK)) as server:
        transport = LeanTransport(Origin("http", "127.0.0.1", server.port), LOCAL)
        expected: list[bytes] = []
        for number in range(200):  # more than are kept
            method, target = ("POST", "/a") if number % 2 else ("PUT", "/b")
            value = b"key-%d" % (number % 70)
            request = UpstreamRequest(method, target, ((b"authorization", value),), b"%d" % number, Timeouts())
            await (await transport.send(request)).read()
            expected.append(b"%b %b %b %d" % (method.encode(), target.encode(), value, number))
        seen: list[bytes] = []
        for raw in server.requests:
            head, _, body = raw.partition(b"\r\n\r\n")
            line, *fields = head.split(b"\r\n")
            value = next(field for field in fields if field.startswith(b"authorization")).split(b": ")[1]
            seen.append(line.removesuffix(b" HTTP/1.1") + b" " + value + b" " + body)
        assert seen == expected
        await transport.aclose()


async def test_a_total_time_shorter_than_the_connect_time_is_what_ran_out() -> None:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()

    transport = LeanTransport(Origin("https", "api.example.com", 443), TransportOptions(resolve=resolve))
    with pytest.raises(TotalTimeoutError) as caught:
        await transport.send(UpstreamRequest("POST", "/", (), b"", Timeouts(connect=3, total=0.05)))
    assert not caught.value.sent
    await transport.aclose()


async def test_a_transport_that_was_never_used_closes() -> None:
    await LeanTransport(Origin("http", "127.0.0.1", 1), LOCAL).aclose()


async def test_an_answer_nobody_takes_ends_with_its_total_time() -> None:
    async with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")) as server:
        transport = LeanTransport(Origin("http", "127.0.0.1", server.port), LOCAL)
        await transport.send(UpstreamRequest("POST", "/", (), b"", Timeouts(total=0.1)))
        await until(lambda: server.open == 0)
        await transport.aclose()
