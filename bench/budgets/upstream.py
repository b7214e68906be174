"""A provider that outlives the gateway: OpenAI's chat completions with a meter of its own, in the test's process.

``user`` names the request and scripts the answer: ``ID|lorem-40+pace-2+no-usage``, in the sandbox's grammar. It bills
by OpenAI's own tokenizer and OpenAI's own arithmetic of messages, whatever it reports: what a real bill would say.
"""

import json
from typing import Any, NamedTuple

from bench.budgets.client import words
from bench.budgets.place import Price
from headgate.providers.sandbox_script import Script, parse_script
from headgate.tokens.counting import count_chat_input
from tests.fakes.openai_api import CREDENTIAL
from tests.fakes.plan import Cut, Pause, Plan, Send, Step
from tests.fakes.server import Exchange, FakeServer

MODEL = "gpt-4o"
PRICE = Price(2_500, 10_000)
PRICE_YAML = '{input_per_mtok: "2.50", output_per_mtok: "10"}'
_LEAD = 1
"""The events of a stream before its first token: the role."""


class Bill(NamedTuple):
    """One request as it is billed."""

    exchange: Exchange
    input_tokens: int
    tokens: int
    """Of output, where all of it was produced."""
    stream: bool

    @property
    def output_tokens(self) -> int:
        """What was produced up to now: a stream's tokens as they were sent, a whole answer all at once."""
        return max(0, min(self.exchange.sent - _LEAD, self.tokens)) if self.stream else self.tokens

    @property
    def cost(self) -> int:
        """Nano-USD."""
        return PRICE.of(self.input_tokens, self.output_tokens)


class MeteredUpstream(FakeServer):
    """The provider. `bills` holds what it bills, by the request's name."""

    fixed_headers = (("x-request-id", "req_metered"),)

    def __init__(self) -> None:
        super().__init__()
        self.bills: dict[str, Bill] = {}

    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        """The plan for a request; its bill is opened with it."""
        if exchange.header("authorization") != f"Bearer {CREDENTIAL}":
            return Plan([Send(b"{}")], status=401), ""
        body = json.loads(exchange.body)
        name, _, words_of_script = body["user"].partition("|")
        script = parse_script(words_of_script)
        assert script is not None, body["user"]
        assert name not in self.bills, "a request is sent once"
        if script.status is not None:
            return Plan([Send(b'{"error": {"message": "on purpose", "type": "server_error"}}')], script.status), ""
        texts = [part for message in body["messages"] for part in (message["role"], message["content"])]
        most = body.get("max_completion_tokens") or body.get("max_tokens") or script.amount
        made = min(script.amount, most)
        bill = Bill(exchange, count_chat_input(MODEL, texts, len(body["messages"])), made, body.get("stream") is True)
        self.bills[name] = bill
        return _plan(script, bill, body), ""

    @property
    def cost(self) -> int:
        """What it bills for everything, nano-USD."""
        return sum(bill.cost for bill in list(self.bills.values()))


def provider(url: str) -> str:
    """Its value in the block ``providers``."""
    return f'{{kind: openai, base_url: "{url}", credential: {CREDENTIAL}, allow_private_network: true}}'


def _plan(script: Script, bill: Bill, body: dict[str, Any]) -> Plan:
    usage = {
        "prompt_tokens": bill.input_tokens,
        "completion_tokens": bill.tokens,
        "total_tokens": bill.input_tokens + bill.tokens,
    }
    top = {"id": "chatcmpl-metered", "created": 1_764_000_000, "model": MODEL}
    pause: list[Step] = [Pause(script.slow_ms / 1000)] if script.slow_ms else []
    if not bill.stream:
        message = {"role": "assistant", "content": words(bill.tokens)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        whole = {**top, "object": "chat.completion", "choices": [choice]}
        if script.usage:
            whole["usage"] = usage
        data = json.dumps(whole).encode()
        if script.cut_after is not None:
            return Plan([*pause, Send(data[: len(data) // 2]), Cut()], framing="chunked")
        return Plan([*pause, Send(data)])
    steps: list[Step] = [*pause, Send(_chunk(top, {"role": "assistant", "content": ""}))]
    for place, word in enumerate(words(bill.tokens).split()):
        if script.cut_after is not None and place >= script.cut_after:
            return Plan([*steps, Cut()], content_type="text/event-stream", framing="chunked")
        if script.pace_ms:
            steps.append(Pause(script.pace_ms / 1000))
        steps.append(Send(_chunk(top, {"content": (" " if place else "") + word})))
    steps.append(Send(_chunk(top, {}, "stop")))
    if script.usage and (body.get("stream_options") or {}).get("include_usage"):
        steps.append(Send(_event({**top, "object": "chat.completion.chunk", "choices": [], "usage": usage})))
    steps.append(Send(b"data: [DONE]\n\n"))
    return Plan(steps, content_type="text/event-stream", framing="chunked")


def _chunk(top: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _event({**top, "object": "chat.completion.chunk", "choices": [choice]})


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
