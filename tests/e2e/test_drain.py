"""SIGTERM with a hundred live streams: those that can finish do, the others are told so, and all are on record."""

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import Gateway, config, events_of, hello

STREAMS = 100
DRAIN_S = 4
SHORT, LONG = "fault-paced-80", "fault-paced-1000"
"""About a second and a half, and fifteen seconds, for an answer of thirteen words."""


class Stream(NamedTuple):
    """One stream as its client saw it."""

    model: str
    request_id: str
    events: list[str]

    @property
    def last(self) -> Any:
        return json.loads(self.events[-1]) if self.events[-1] != "[DONE]" else None


def test_item_o1_a_hundred_live_streams_finish_or_end_with_an_error_and_all_are_settled(tmp_path: Path) -> None:
    with FakeOpenAI() as fake, Gateway(tmp_path, config(fake.url, server=f"drain: {DRAIN_S}s")) as gateway:
        live = threading.Semaphore(0)
        seen: list[Stream] = []

        def listen(model: str) -> None:
            with gateway.streaming(hello(model=model, stream=True), timeout_s=40) as answer:
                first = answer.readline()
                live.release()
                seen.append(Stream(model, answer.headers["x-request-id"], events_of(first + answer.read())))

        # The long ones first: the short ones must not be over before the signal comes.
        models = [LONG] * (STREAMS // 2) + [SHORT] * (STREAMS // 2)
        clients = [threading.Thread(target=listen, args=(model,)) for model in models]
        for client in clients:
            client.start()
        for _ in clients:
            assert live.acquire(timeout=20)
        asked = time.monotonic()
        gateway.terminate()
        assert gateway.wait(DRAIN_S + 10) == 0
        taken = time.monotonic() - asked
        for client in clients:
            client.join(10)
        assert len(seen) == STREAMS
        assert taken <= DRAIN_S + 2, f"the drain took {taken:.1f} s"
        for stream in seen:
            _check(stream)
        gateway.start()
        outcomes = Counter((stream.model, gateway.record(stream.request_id)["outcome"]) for stream in seen)
        assert outcomes == {(SHORT, "ok"): STREAMS // 2, (LONG, "truncated"): STREAMS // 2}


def _check(stream: Stream) -> None:
    if stream.model == SHORT:
        text = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in stream.events[:-1]]
        assert "".join(text) == "".join(WORDS)
        assert stream.last is None
    else:
        assert stream.last["error"]["code"] == "overloaded"
        assert stream.last["error"]["headgate"]["reason"] == "shutting_down"
        assert "[DONE]" not in stream.events
