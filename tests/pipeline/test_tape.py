"""Tests of headgate.pipeline.tape."""

import asyncio

import pytest

from headgate.domain.errors import InternalError, UpstreamError
from headgate.domain.usage import TokenUsage
from headgate.pipeline.tape import Tape
from headgate.routing.table import Deployment
from headgate.wire import WIRE_FORMATS
from tests.wire.golden import given

CHAT, EMBEDDINGS = WIRE_FORMATS["openai_chat"], WIRE_FORMATS["openai_embeddings"]
STREAM = given("text", "stream.sse")
DEPLOYMENT = Deployment("openai", "gpt-4o", None)
USAGE = TokenUsage(input_tokens=3, output_tokens=4)
FAILED = UpstreamError("It failed.")


def playing(data: bytes = STREAM) -> Tape:
    """A tape with a stream on it."""
    tape = Tape()
    tape.begin(CHAT, stream=True)
    tape.feed(data)
    return tape


def test_a_stream_is_recorded_with_who_gave_it_and_what_it_took() -> None:
    tape = playing()
    tape.close()
    assert tape.has_ended
    recorded = tape.complete(DEPLOYMENT, USAGE, "stop")
    assert recorded is tape.result is not None
    assert (recorded.provider, recorded.deployment, recorded.usage) == ("openai", "openai/gpt-4o", USAGE)
    assert recorded.events == tuple(tape.events)
    assert (recorded.answer, recorded.body, tape.size) == (None, None, len(STREAM))


def test_a_whole_answer_and_a_body_without_a_way_to_the_hub_are_recorded() -> None:
    tape = Tape()
    tape.begin(CHAT, stream=False)
    tape.whole(CHAT, given("text", "response.json"))
    recorded = tape.complete(DEPLOYMENT, USAGE, "stop")
    assert recorded is not None
    assert recorded.answer is not None
    tape = Tape()
    tape.begin(EMBEDDINGS, stream=False)
    tape.whole(EMBEDDINGS, b'{"data":[]}')
    recorded = tape.complete(DEPLOYMENT, USAGE, None)
    assert recorded is not None
    assert recorded.body == '{"data":[]}'


def test_another_try_begins_anew() -> None:
    tape = playing(STREAM[:400])
    before = len(tape.events)
    assert before
    tape.begin(CHAT, stream=True)
    assert (tape.events, tape.size) == ([], 0)
    tape.feed(STREAM)
    tape.close()
    assert tape.complete(DEPLOYMENT, USAGE, "stop") is not None


@pytest.mark.parametrize(
    "data",
    [
        STREAM[: len(STREAM) // 2],
        STREAM[:400] + b"data: {broken\n\n",
        b"<html></html>\n\n",
        STREAM[:400] + b'data: {"error":{"message":"broken","type":"server_error"}}\n\n',
    ],
)
def test_what_cannot_be_read_is_nothing_to_keep(data: bytes) -> None:
    tape = playing(data)
    tape.close()
    assert tape.complete(DEPLOYMENT, USAGE, "stop") is None
    assert isinstance(tape.error, InternalError)


def test_the_first_end_is_the_one_that_counts() -> None:
    tape = playing()
    tape.fail(FAILED)
    tape.fail(InternalError("Again."))
    assert tape.error is FAILED
    done = playing()
    done.complete(DEPLOYMENT, USAGE, "stop")
    done.fail(FAILED)
    assert done.error is None


async def test_followers_hear_of_content_once_no_other_answer_can_come_and_of_the_end() -> None:
    tape = Tape()
    tape.begin(CHAT, stream=True)

    async def wait() -> None:
        async with asyncio.timeout(5):
            await tape.more()

    waiting = [asyncio.get_running_loop().create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    tape.feed(STREAM[:400])
    await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    tape.open()
    await asyncio.gather(*waiting)
    more = asyncio.get_running_loop().create_task(wait())
    await asyncio.sleep(0)
    tape.feed(STREAM[400:])
    await more
    end = asyncio.get_running_loop().create_task(wait())
    await asyncio.sleep(0)
    tape.fail(FAILED)
    await end
    assert tape.is_over


async def test_one_that_gives_up_takes_nothing_from_the_others() -> None:
    tape = playing()
    first, second = (
        asyncio.get_running_loop().create_task(tape.more()),
        asyncio.get_running_loop().create_task(tape.more()),
    )
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    tape.open()
    await asyncio.wait_for(second, 5)


def test_the_last_one_to_leave_is_told() -> None:
    told: list[int] = []
    tape = Tape()
    tape.on_abandoned = lambda: told.append(tape.followers)
    tape.follow()
    tape.follow()
    tape.leave()
    assert not told
    tape.leave()
    assert told == [0]
