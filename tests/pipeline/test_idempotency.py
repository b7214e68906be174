"""What is remembered under an idempotency key, for whom, for how long, and how a request is answered by it."""

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headgate.domain.errors import (
    HeadgateError,
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    IdempotencyNotReplayableError,
)
from headgate.domain.usage import UsageQuality
from headgate.pipeline.call import Call
from headgate.pipeline.idempotency import (
    ENTRY_BYTES,
    KEPT_S,
    LARGEST_ANSWER_BYTES,
    REPLAYED,
    IdempotencyStore,
    KeptAnswer,
    RememberedReply,
    digest_of,
    replay,
)
from headgate.pipeline.reply import Headers
from headgate.pipeline.settle import settle
from headgate.wire import WIRE_FORMATS
from tests.pipeline.conftest import Caller
from tests.pipeline.tracing import BODY, trace_of


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Sent:
    """A reply to nobody, which remembers what it was given."""

    def __init__(self) -> None:
        self.begun = self.ended = self.client_gone = self.stopped = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.patience_s: float | None = None
        self.give_up: Callable[[float], None] | None = None
        self.waits: Awaitable[None] | None = None

    def watch_client(self, patience_s: float, give_up: Callable[[float], None] | None = None) -> None:
        self.patience_s, self.give_up = patience_s, give_up

    def stop_watching(self) -> None:
        self.stopped = True

    def whole(self, status: int, headers: Headers, body: bytes) -> Awaitable[None] | None:
        if any(b"\n" in value for _, value in headers):
            raise ValueError("a line break")
        self.begin(status, headers)
        return self.end(body)

    def begin(self, status: int, headers: Headers) -> None:
        self.begun = True
        self.status, self.headers = status, list(headers)

    def write(self, data: bytes) -> Awaitable[None] | None:
        self.body += data
        return self.waits

    def end(self, data: bytes = b"") -> Awaitable[None] | None:
        self.ended = True
        return self.write(data)


HEADERS = [
    (b"x-request-id", b"req_1"),
    (b"x-headgate-request-id", b"req_1"),
    (b"x-headgate-model", b"gpt-4o"),
    (b"x-headgate-provider", b"openai"),
    (b"x-headgate-attempts", b"1"),
    (b"x-ratelimit-remaining-requests", b"7"),
    (b"content-type", b"application/json"),
    (b"x-headgate-cost-usd", b"0.000135"),
]
ANSWER = KeptAnswer(
    ((b"x-headgate-model", b"gpt-4o"), (b"x-headgate-provider", b"openai"), (b"content-type", b"application/json")),
    b'{"id":"1"}',
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> IdempotencyStore:
    return IdempotencyStore(clock)


def call_of(name: str = "once", **changes: object) -> Call:
    return trace_of(idempotency_key=name, **changes).call


def first(store: IdempotencyStore, call: Call | None = None, *, key: str = "key_1", reply: Any = None) -> Any:
    """Claim a key that nobody has claimed; return what the answer goes through."""
    claimed = store.claim(key, call or call_of(), reply or Sent())
    assert isinstance(claimed, RememberedReply)
    return claimed


def answered(
    store: IdempotencyStore, call: Call | None = None, body: bytes = ANSWER.body, *, key: str = "key_1"
) -> None:
    """Carry a request out to its end."""
    reply = first(store, call, key=key)
    reply.whole(200, HEADERS, body)
    reply.stop_watching()


def refusal(store: IdempotencyStore, call: Call | None = None) -> HeadgateError:
    with pytest.raises(HeadgateError) as caught:
        store.claim("key_1", call or call_of(), Sent())
    return caught.value


def test_the_first_request_is_answered_through_a_reply_that_passes_all_on(store: IdempotencyStore) -> None:
    sent = Sent()
    reply = first(store, reply=sent)
    reply.watch_client(10.0)
    assert (sent.patience_s, reply.begun, reply.ended, reply.client_gone) == (10.0, False, False, False)
    reply.begin(200, HEADERS)
    assert (reply.begun, reply.ended) == (True, False)
    reply.write(b"one ")
    reply.end(b"two")
    reply.stop_watching()
    assert (sent.status, sent.headers, sent.body, sent.ended, sent.stopped) == (200, HEADERS, b"one two", True, True)
    sent.client_gone = True
    assert (reply.ended, reply.client_gone) == (True, True)


def test_a_repetition_gets_the_answer_without_what_was_true_of_the_first_alone(store: IdempotencyStore) -> None:
    answered(store)
    assert store.claim("key_1", call_of(), Sent()) == ANSWER
    assert store.claim("key_1", call_of(), Sent()) == ANSWER


def test_an_answer_can_be_given_again_as_soon_as_it_is_there(store: IdempotencyStore) -> None:
    """Its own client may still be reading it."""
    first(store).whole(200, HEADERS, ANSWER.body)
    assert store.claim("key_1", call_of(), Sent()) == ANSWER


def test_a_request_that_runs_is_told_apart_and_may_be_tried_again(store: IdempotencyStore) -> None:
    first(store)
    error = refusal(store)
    assert isinstance(error, IdempotencyInFlightError)
    assert (error.retryable, error.retry_after_s) == (True, 1.0)


@pytest.mark.parametrize("is_over", [False, True])
def test_another_request_under_the_same_key_is_refused(store: IdempotencyStore, is_over: bool) -> None:
    reply = first(store)
    if is_over:
        reply.whole(200, HEADERS, ANSWER.body)
    error = refusal(store, call_of(body=BODY + b" "))
    assert isinstance(error, IdempotencyMismatchError)
    assert not error.retryable


@pytest.mark.parametrize("status", [400, 402, 429, 499, 500, 502, 503, 504])
def test_a_failure_is_forgotten(store: IdempotencyStore, status: int) -> None:
    reply = first(store)
    reply.whole(status, HEADERS, b"{}")
    reply.stop_watching()
    assert len(store) == 0
    first(store)


def test_what_came_to_nothing_is_forgotten(store: IdempotencyStore) -> None:
    """Cancelled, or its client left before there was an answer."""
    first(store).stop_watching()
    assert len(store) == 0
    first(store, call_of(body=BODY + b" "))


def test_an_answer_that_could_not_be_sent_is_not_kept(store: IdempotencyStore) -> None:
    reply = first(store)
    with pytest.raises(ValueError, match="line break"):
        reply.whole(200, [(b"x-headgate-model", b"a\nb")], b"{}")
    reply.stop_watching()
    assert len(store) == 0


def test_an_answer_whose_client_has_left_is_kept_for_its_next_try(store: IdempotencyStore) -> None:
    sent = Sent()
    reply = first(store, reply=sent)
    sent.client_gone = True
    reply.whole(200, HEADERS, ANSWER.body)
    reply.stop_watching()
    assert store.claim("key_1", call_of(), Sent()) == ANSWER


@pytest.mark.parametrize("ends", [False, True])
def test_a_stream_that_had_content_was_carried_out_and_cannot_be_given_again(
    store: IdempotencyStore, ends: bool
) -> None:
    reply = first(store)
    reply.begin(200, HEADERS)
    reply.write(b"data: {}\n\n")
    assert isinstance(refusal(store), IdempotencyInFlightError)
    if ends:
        reply.end(b"data: [DONE]\n\n")
    reply.stop_watching()
    error = refusal(store)
    assert isinstance(error, IdempotencyNotReplayableError)
    assert (error.retryable, error.reason) == (False, "stream")
    assert "a stream" in error.message
    assert isinstance(refusal(store, call_of(body=BODY + b" ")), IdempotencyMismatchError)


def test_a_stream_whose_client_had_left_before_its_content_is_forgotten(store: IdempotencyStore) -> None:
    sent = Sent()
    reply = first(store, reply=sent)
    sent.client_gone = True
    reply.begin(200, HEADERS)
    reply.stop_watching()
    assert len(store) == 0


def test_of_an_answer_that_is_too_large_it_is_known_that_it_was_given(store: IdempotencyStore) -> None:
    answered(store, call_of("fits"), bytes(LARGEST_ANSWER_BYTES))
    assert isinstance(store.claim("key_1", call_of("fits"), Sent()), KeptAnswer)
    answered(store, call_of("large"), bytes(LARGEST_ANSWER_BYTES + 1))
    error = refusal(store, call_of("large"))
    assert isinstance(error, IdempotencyNotReplayableError)
    assert error.reason == "answer_too_large"
    assert "too large to keep" in error.message


def test_nobody_finds_what_was_sent_under_another_virtual_key(store: IdempotencyStore) -> None:
    answered(store, key="key_1")
    first(store, key="key_2")
    answered(store, call_of("other", body=BODY + b" "), b"theirs", key="key_3")
    assert store.claim("key_1", call_of(), Sent()) == ANSWER


def test_an_answer_is_forgotten_after_a_day(store: IdempotencyStore, clock: Clock) -> None:
    answered(store, call_of("early"))
    clock.now += KEPT_S / 2
    answered(store, call_of("late"))
    clock.now += KEPT_S / 2 - 0.001
    assert store.claim("key_1", call_of("early"), Sent()) == ANSWER
    clock.now += 0.001
    first(store, call_of("early"))
    assert store.claim("key_1", call_of("late"), Sent()) == ANSWER
    assert len(store) == 2


def test_a_request_that_runs_for_longer_than_a_day_is_not_forgotten(store: IdempotencyStore, clock: Clock) -> None:
    first(store)
    clock.now += 2 * KEPT_S
    assert isinstance(refusal(store), IdempotencyInFlightError)


def test_the_oldest_makes_way_and_the_operator_hears_of_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    store = IdempotencyStore(clock, most_bytes=3 * (ENTRY_BYTES + 1000))
    running = first(store, call_of("running"))
    with caplog.at_level(logging.WARNING, "headgate.pipeline"):
        for name in ("a", "b", "c"):
            answered(store, call_of(name), bytes(1000))
        assert len(store) == 4
        assert not caplog.records
        answered(store, call_of("d"), bytes(2000))
        answered(store, call_of("e"), bytes(1000))
    assert len(caplog.records) == 1
    assert isinstance(refusal(store, call_of("running")), IdempotencyInFlightError)
    assert isinstance(store.claim("key_1", call_of("e"), Sent()), KeptAnswer)
    running.stop_watching()
    for name in ("a", "b", "c"):
        first(store, call_of(name)).stop_watching()
    with caplog.at_level(logging.WARNING, "headgate.pipeline"):
        clock.now += 3600.0
        answered(store, call_of("f"), bytes(1000))
        answered(store, call_of("g"), bytes(1000))
    assert len(caplog.records) == 2


def test_entries_without_an_answer_are_bounded_too(clock: Clock) -> None:
    store = IdempotencyStore(clock, most_bytes=10 * ENTRY_BYTES)
    for number in range(100):
        reply = first(store, call_of(f"{number}"))
        reply.begin(200, HEADERS)
        reply.stop_watching()
    assert len(store) == 10


def test_an_answer_that_alone_is_too_much_leaves_nothing_behind(clock: Clock) -> None:
    store = IdempotencyStore(clock, most_bytes=ENTRY_BYTES)
    answered(store)
    assert len(store) == 0


def test_the_digest_is_of_what_is_asked_and_in_which_format() -> None:
    digests = {
        digest_of(call)
        for call in (
            call_of(),
            call_of(body=BODY + b" "),
            call_of(path_model="gpt-4o"),
            call_of(path_model="gpt-4"),
            call_of(path_model="\ud800"),
            call_of(forwarded=((b"anthropic-beta", b"a"),)),
            call_of(forwarded=((b"anthropic-beta", b"b"),)),
            call_of(wire_format=WIRE_FORMATS["openai_embeddings"]),
        )
    }
    assert len(digests) == 8
    patient = call_of(request_id="req_2", timeout_s=1.0, end_user="eve", session="s", tags=(("a", "b"),), started=1.0)
    assert digest_of(patient) == digest_of(call_of())


@pytest.mark.parametrize("name", sorted(WIRE_FORMATS))
async def test_an_answer_is_given_again_under_the_new_requests_id_and_nothing_was_used(name: str) -> None:
    trace, sent = trace_of(request_id="req_2", wire_format=WIRE_FORMATS[name]), Sent()
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    sent.waits = future
    await replay(ANSWER, trace, sent, 101.0)
    assert (sent.status, sent.body) == (200, ANSWER.body)
    headers = dict(sent.headers)
    assert len(headers) == len(sent.headers)
    assert {headers[id_header] for id_header in WIRE_FORMATS[name].id_headers} == {b"req_2"}
    assert headers[b"x-headgate-idempotent-replay"] == b"true"
    assert (headers[b"x-headgate-attempts"], headers[b"x-headgate-cost-usd"]) == (b"0", b"0")
    assert (headers[b"x-headgate-model"], headers[b"content-type"]) == (b"gpt-4o", b"application/json")
    record = trace.record(await settle(trace), 102.0)
    assert (record.outcome, record.status, record.attempts, record.finish_reason) == ("ok", 200, (), REPLAYED)
    assert (record.usage_quality, record.usage.total_tokens, record.cost_nano_usd) == (UsageQuality.NONE, 0, 0)
    assert record.first_event_ms == 1000.0


# Through a whole gateway with the sandbox


def keyed(name: str) -> dict[str, str]:
    return {"idempotency-key": name}


async def meter(caller: Caller) -> dict[str, int]:
    admin = {"authorization": f"Bearer {caller.local.admin_token}"}
    async with caller.session.get(f"{caller.local.admin_url}/sandbox/meter", headers=admin) as answer:
        return (await answer.json())["total"]


async def posted(caller: Caller) -> str:
    """What the ledger has posted to the key's budget."""
    admin = {"authorization": f"Bearer {caller.local.admin_token}"}
    async with caller.session.get(f"{caller.local.admin_url}/admin/v1/keys", headers=admin) as answer:
        (key,) = (await answer.json())["data"]
    async with caller.session.get(
        f"{caller.local.admin_url}/admin/v1/keys/{key['id']}/status", headers=admin
    ) as answer:
        (account,) = [each for each in (await answer.json())["budgets"] if each["limit_usd"] == "5"]
    assert account["held_usd"] == "0"
    return account["posted_usd"]


async def test_a_replay_reaches_no_provider_and_no_ledger_and_is_on_record(caller: Caller) -> None:
    _, headers, answer = await caller.ask("sandbox/lorem-5", headers=keyed("a"))
    original = await caller.record(headers["x-request-id"])
    before = await meter(caller), await posted(caller)
    assert before[1] != "0"
    assert "x-headgate-idempotent-replay" not in headers
    status, headers, again = await caller.ask("sandbox/lorem-5", headers=keyed("a"))
    assert (status, again, headers["x-headgate-idempotent-replay"]) == (200, answer, "true")
    assert headers["x-request-id"] == headers["x-headgate-request-id"] != original["id"]
    assert (headers["x-headgate-cost-usd"], headers["x-headgate-attempts"]) == ("0", "0")
    assert headers["x-headgate-deployment"] == original["deployment"]
    record = await caller.record(headers["x-request-id"])
    assert (record["outcome"], record["status"], record["finish_reason"]) == ("ok", 200, "idempotent_replay")
    assert (record["attempts"], record["usage_quality"], record["cost_usd"]) == ([], "none", "0")
    assert set(record["usage"].values()) == {0}
    assert (await meter(caller), await posted(caller)) == before


@pytest.mark.parametrize("model", ["sandbox/echo+status-429", "sandbox/echo+status-503", "sandbox/echo+malformed"])
async def test_a_failed_request_is_tried_again_under_its_key(caller: Caller, model: str) -> None:
    first_status, *_ = await caller.ask(model, headers=keyed("f"))
    before = await meter(caller)
    again, *_ = await caller.ask(model, headers=keyed("f"))
    assert first_status == again >= 429
    assert (await meter(caller))["calls"] > before["calls"]


async def test_a_request_that_is_refused_before_it_is_sent_leaves_its_key_free(caller: Caller) -> None:
    status, _, answer = await caller.ask("unheard-of", headers=keyed("r"))
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    dear = {"max_tokens": 3_000_000}
    status, _, answer = await caller.ask("sandbox/lorem-5", headers=keyed("r"), **dear)
    assert (status, answer["error"]["code"]) == (402, "request_exceeds_budget")
    status, headers, _ = await caller.ask("sandbox/lorem-5", headers=keyed("r"))
    assert (status, "x-headgate-idempotent-replay" in headers) == (200, False)


async def test_one_of_two_at_once_is_answered_and_the_other_told_to_come_back(caller: Caller) -> None:
    before = await meter(caller)
    both = await asyncio.gather(*[caller.ask("sandbox/lorem-7+slow-400", headers=keyed("two")) for _ in range(2)])
    (good, _, answer), (refused, headers, error) = sorted(both, key=lambda each: each[0])
    assert (good, refused, error["error"]["code"]) == (200, 409, "idempotency_in_flight")
    assert (headers["retry-after"], "x-should-retry" in headers) == ("1", False)
    record = await caller.record(headers["x-request-id"])
    assert (record["outcome"], record["status"], record["error_code"]) == ("refused", 409, "idempotency_in_flight")
    assert (await caller.ask("sandbox/lorem-7+slow-400", headers=keyed("two")))[2] == answer
    assert (await meter(caller))["calls"] - before["calls"] == 1


async def test_a_body_is_the_same_compressed_or_not(caller: Caller) -> None:
    body = json.dumps({"model": "sandbox/echo", "messages": [{"role": "user", "content": "x"}]}).encode()
    url, answers = caller.local.url + "/v1/chat/completions", []
    fields = caller.headers | keyed("zip") | {"content-type": "application/json"}
    for data, coding in ((gzip.compress(body), {"content-encoding": "gzip"}), (body, {})):
        async with caller.session.post(url, data=data, headers=fields | coding) as answer:
            answers.append((answer.status, await answer.read(), answer.headers.get("x-headgate-idempotent-replay")))
    (status, said, fresh), (again, repeated, replayed) = answers
    assert (status, fresh, again, replayed) == (200, None, 200, "true")
    assert said == repeated


async def test_the_answer_to_a_client_that_left_is_there_when_it_comes_back(caller: Caller) -> None:
    before = await meter(caller)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(caller.ask("sandbox/lorem-7+slow-400", headers=keyed("gone")), 0.15)
    record = await caller.last_record()
    assert (record["outcome"], record["usage"]["output_tokens"]) == ("client_closed", 7)
    status, headers, _ = await caller.ask("sandbox/lorem-7+slow-400", headers=keyed("gone"))
    assert (status, headers["x-headgate-idempotent-replay"]) == (200, "true")
    assert (await meter(caller))["calls"] - before["calls"] == 1


async def test_a_client_that_left_a_stream_before_its_content_may_send_it_again(caller: Caller) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(caller.events("sandbox/lorem-3+slow-400", headers=keyed("left")), 0.15)
    assert (await caller.last_record())["outcome"] == "client_closed"
    _, events = await caller.events("sandbox/lorem-3+slow-400", headers=keyed("left"))
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize("model", ["sandbox/lorem-4", "sandbox/lorem-9+cut-after-3"])
async def test_a_stream_is_not_carried_out_twice(caller: Caller, model: str) -> None:
    before = await meter(caller)
    headers, events = await caller.events(model, headers=keyed("s"))
    assert ("[DONE]" in events) == ("cut" not in model)
    status, headers, answer = await caller.ask(model, stream=True, headers=keyed("s"))
    assert (status, answer["error"]["code"]) == (409, "idempotency_not_replayable")
    assert (answer["error"]["headgate"]["reason"], headers["x-should-retry"]) == ("stream", "false")
    assert (await meter(caller))["calls"] - before["calls"] == 1
