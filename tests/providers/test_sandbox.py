import asyncio
import itertools

import msgspec
import pytest

from headgate.catalog.cost import cost_of
from headgate.domain.usage import TokenUsage
from headgate.providers.sandbox import SANDBOX_PRICE, Meter, SandboxTransport, SeededChance, Tally, label_credential
from headgate.upstream.transport import (
    ConnectionCutError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    Timeouts,
    TotalTimeoutError,
    UpstreamRequest,
)
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import MalformedAnswerError

HELLO = [{"role": "user", "content": "hello there my friend"}]
OPENAI_CHAT = WIRE_FORMATS["openai_chat"]


def request(model, *, timeouts=None, credential=b"key-of-a-test", path="/v1/chat/completions", **fields):
    body = msgspec.json.encode({"model": model, "messages": HELLO, "input": "hello"} | fields)
    headers = ((b"authorization", b"Bearer " + credential),) if credential else ()
    return UpstreamRequest("POST", path, headers, body, timeouts or Timeouts())


async def streamed(transport, model, **fields):
    answer = await transport.send(request(model, stream=True, **fields))
    pieces = []
    try:
        await answer.pump(pieces.append)
    finally:
        await answer.aclose()
    return pieces


async def test_a_whole_answer_is_read_and_metered():
    transport = SandboxTransport(clock=lambda: 1_700_000_000.9)
    answer = await transport.send(request("echo"))
    assert answer.status == 200
    assert dict(answer.headers)[b"content-type"] == b"application/json"
    body = msgspec.json.decode(await answer.read())
    assert body["created"] == 1_700_000_000
    assert body["choices"][0]["message"]["content"] == "hello there my friend"
    assert transport.meter.snapshot().total == Tally(calls=1, input_tokens=7, output_tokens=4)


async def test_a_whole_answer_may_be_pumped_too():
    pieces = []
    answer = await SandboxTransport().send(request("echo"))
    await answer.pump(pieces.append)
    assert len(pieces) == 1


async def test_every_event_of_a_stream_reaches_the_sink_by_itself():
    pieces = await streamed(SandboxTransport(), "lorem-20")
    assert len(pieces) == 1 + 20 + 1 + 1
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)
    assert pieces[-1] == b"data: [DONE]\n\n"


async def test_others_run_between_two_events():
    turns = itertools.count()
    seen = []

    async def spin():
        while True:
            next(turns)
            await asyncio.sleep(0)

    spinning = asyncio.get_running_loop().create_task(spin())
    answer = await SandboxTransport().send(request("lorem-50", stream=True))
    await answer.pump(lambda _: seen.append(next(turns)))
    spinning.cancel()
    assert len(set(seen)) == len(seen)
    assert seen[-1] - seen[0] >= 2 * (len(seen) - 1)


async def test_a_sink_that_is_slow_holds_the_production_back():
    transport = SandboxTransport()
    gate = asyncio.Event()
    answer = await transport.send(request("lorem-20", stream=True))
    pumping = asyncio.get_running_loop().create_task(answer.pump(lambda _: gate.wait()))
    for _ in range(20):
        await asyncio.sleep(0)
    assert transport.meter.snapshot().total.output_tokens == 0
    gate.set()
    await pumping
    assert transport.meter.snapshot().total.output_tokens == 20


async def test_what_a_sink_raises_ends_the_production():
    transport = SandboxTransport()
    pieces = []

    def sink(data):
        pieces.append(data)
        if len(pieces) == 4:
            raise RuntimeError("full")

    answer = await transport.send(request("lorem-20", stream=True))
    with pytest.raises(RuntimeError, match="full"):
        await answer.pump(sink)
    assert transport.meter.snapshot().total.output_tokens == 3


async def test_cancellation_stops_the_production_and_the_meter():
    transport = SandboxTransport()
    arrived = asyncio.Event()
    answer = await transport.send(request("lorem-1000+pace-50", stream=True))
    pumping = asyncio.get_running_loop().create_task(answer.pump(lambda _: arrived.set()))
    await arrived.wait()
    pumping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pumping
    made = transport.meter.snapshot().total.output_tokens
    assert made < 5


async def test_an_answer_that_nobody_reads_produces_nothing():
    transport = SandboxTransport()
    answer = await transport.send(request("lorem-20", stream=True))
    await answer.aclose()
    assert transport.meter.snapshot().total == Tally(calls=1, input_tokens=7)
    await answer.aclose()


async def test_slow_waits_before_the_head_and_pace_before_each_event_but_the_first():
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = await SandboxTransport().send(request("lorem-3+slow-40+pace-20", stream=True))
    assert loop.time() - started >= 0.039
    times = []
    await answer.pump(lambda _: times.append(loop.time()))
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 5
    assert min(gaps) >= 0.019


async def test_a_whole_answer_takes_as_long_as_its_tokens():
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = await SandboxTransport().send(request("lorem-4+pace-20"))
    await answer.read()
    assert loop.time() - started >= 0.059


@pytest.mark.parametrize(
    ("model", "stream", "timeouts", "failure"),
    [
        ("echo+slow-60000", False, Timeouts(first_event=0.02), FirstEventTimeoutError),
        ("echo+slow-60000", True, Timeouts(first_event=0.02), FirstEventTimeoutError),
        ("echo+slow-60000", True, Timeouts(total=0.02), TotalTimeoutError),
        ("lorem-9+stall", False, Timeouts(first_event=0.02), FirstEventTimeoutError),
        ("lorem-9+stall", True, Timeouts(idle=0.02), IdleTimeoutError),
        ("lorem-9+stall", True, Timeouts(total=0.02), TotalTimeoutError),
        ("lorem-9+pace-60000", True, Timeouts(idle=0.02), IdleTimeoutError),
        ("lorem-9+pace-10", True, Timeouts(total=0.05), TotalTimeoutError),
        ("lorem-9+pace-20", False, Timeouts(first_event=0.05), FirstEventTimeoutError),
    ],
)
async def test_time_outs_fail_as_a_network_transports_do(model, stream, timeouts, failure):
    async def exchange():
        answer = await SandboxTransport().send(request(model, stream=stream, timeouts=timeouts))
        await answer.pump(lambda _: None)

    with pytest.raises(failure) as caught:
        await asyncio.wait_for(exchange(), timeout=10)
    assert caught.value.sent


async def test_a_stalled_stream_has_made_its_first_token():
    transport = SandboxTransport()
    pieces = []
    answer = await transport.send(request("lorem-9+stall", stream=True, timeouts=Timeouts(idle=0.02)))
    with pytest.raises(IdleTimeoutError):
        await answer.pump(pieces.append)
    assert len(pieces) == 2
    assert transport.meter.snapshot().total.output_tokens == 1


@pytest.mark.parametrize(("after", "events"), [(0, 0), (1, 2), (3, 4), (5, 6)])
async def test_a_cut_stream_ends_after_so_many_tokens_and_the_meter_says_so(after, events):
    transport = SandboxTransport()
    pieces = []
    answer = await transport.send(request(f"lorem-5+cut-after-{after}", stream=True))
    with pytest.raises(ConnectionCutError):
        await answer.pump(pieces.append)
    assert len(pieces) == events
    assert transport.meter.snapshot().total.output_tokens == after


async def test_a_cut_whole_answer_has_cost_its_tokens():
    transport = SandboxTransport()
    answer = await transport.send(request("lorem-5+cut-after-3"))
    with pytest.raises(ConnectionCutError):
        await answer.read()
    assert transport.meter.snapshot().total.output_tokens == 3


async def test_an_answer_shorter_than_its_cut_is_whole():
    assert (await streamed(SandboxTransport(), "lorem-5+cut-after-6"))[-1] == b"data: [DONE]\n\n"


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_an_error_status_carries_an_error_object_and_costs_nothing(status):
    transport = SandboxTransport()
    answer = await transport.send(request(f"echo+status-{status}", stream=True))
    assert answer.status == status
    fault = OPENAI_CHAT.parse_fault(await answer.read())
    assert fault is not None
    assert str(status) in fault.message
    assert (b"retry-after" in dict(answer.headers)) == (status in (429, 503))
    assert transport.meter.snapshot().total == Tally(calls=1)


async def test_an_unknown_model_is_not_found_as_a_provider_says_it():
    answer = await SandboxTransport().send(request("gpt-4o"))
    fault = OPENAI_CHAT.parse_fault(await answer.read())
    assert (answer.status, fault.code) == (404, "model_not_found")


async def test_flaky_fails_its_share_and_the_same_calls_for_the_same_seed():
    async def statuses(seed):
        transport = SandboxTransport(chance=SeededChance(seed))
        return [(await transport.send(request("echo+flaky-30"))).status for _ in range(400)]

    first = await statuses(1)
    assert first == await statuses(1) != await statuses(2)
    assert 80 < first.count(503) < 160
    assert set(first) == {200, 503}


@pytest.mark.parametrize(("percent", "status"), [(0, 200), (100, 503)])
async def test_flaky_never_and_always(percent, status):
    transport = SandboxTransport()
    for _ in range(50):
        assert (await transport.send(request(f"echo+flaky-{percent}"))).status == status


async def test_the_meter_tells_credentials_apart_without_showing_them():
    meter = Meter()
    one, two = SandboxTransport(meter), SandboxTransport(meter)
    for transport, credential in ((one, b"alpha-key"), (two, b"beta-key"), (two, b"")):
        await (await transport.send(request("lorem-5", credential=credential))).read()
    reading = meter.snapshot()
    assert reading.total == Tally(calls=3, input_tokens=21, output_tokens=15)
    assert reading.credentials.keys() == {label_credential("alpha-key"), label_credential("beta-key"), "none"}
    assert "alpha" not in repr(reading)


async def test_a_reading_does_not_change_afterwards():
    transport = SandboxTransport()
    before = transport.meter.snapshot()
    await (await transport.send(request("echo"))).read()
    assert before.total == Tally()
    assert before.credentials == {}


@pytest.mark.parametrize("model", ["echo", "lorem-30", "thinking", "json"])
@pytest.mark.parametrize("stream", [False, True])
async def test_our_own_wire_format_reads_off_what_the_meter_counted(model, stream):
    transport = SandboxTransport()
    options = {"stream_options": {"include_usage": True}} if stream else {}
    answer = await transport.send(request(model, stream=stream, **options))
    if stream:
        reader = OPENAI_CHAT.meter_stream(False)
        await answer.pump(lambda data: (reader.feed(data), None)[1])
        reader.close()
        metered = reader.metered()
    else:
        metered = OPENAI_CHAT.meter_body(await answer.read())
    total = transport.meter.snapshot().total
    assert (metered.usage.input_tokens, metered.usage.output_tokens) == (total.input_tokens, total.output_tokens)
    assert metered.finish_reason == "stop"


@pytest.mark.parametrize("model", ["echo+malformed", "thinking+malformed"])
async def test_our_own_wire_format_finds_malformed_answers_malformed(model):
    transport = SandboxTransport()
    with pytest.raises(MalformedAnswerError):
        OPENAI_CHAT.meter_body(await (await transport.send(request(model))).read())
    reader = OPENAI_CHAT.meter_stream(False)
    answer = await transport.send(request(model, stream=True))

    def sink(data):
        reader.feed(data)

    with pytest.raises(MalformedAnswerError):
        await answer.pump(sink)


async def test_embeddings_are_metered():
    transport = SandboxTransport()
    answer = await transport.send(request("embed-8", path="/v1/embeddings"))
    metered = WIRE_FORMATS["openai_embeddings"].meter_body(await answer.read())
    assert metered.usage.input_tokens == transport.meter.snapshot().total.input_tokens == 1
    await transport.aclose()


def test_the_default_price_is_one_and_two_dollars_a_million():
    assert cost_of(SANDBOX_PRICE, TokenUsage(input_tokens=1_000_000, output_tokens=1_000_000)) == 3 * 10**9


def test_chance_stays_in_its_range():
    chance = SeededChance(3)
    assert all(0 <= chance() < 100 for _ in range(1000))
