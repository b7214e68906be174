"""Long conversations of coding agents, turn by turn: straight to each vendor's API, and through a gateway to both."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.agents import replay
from tests.agents.conversation import TURNS
from tests.fakes.anthropic_api import ANTHROPIC_CREDENTIAL, FakeAnthropic
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.fakes.server import FakeServer
from tests.gateway import KEY, Gateway
from tests.sdk.both import config

BEARER = {"authorization": f"Bearer {KEY}"}
MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-6"}
STALLING = "fault-stall-9"
STYLES = {
    "budget": ("claude-sonnet-4-6", replay.BUDGET),
    "adaptive": ("claude-opus-5-5", replay.ADAPTIVE),
}


class Both(NamedTuple):
    gateway: Gateway
    fakes: dict[str, FakeServer]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = tmp_path_factory.mktemp("agents")
    with FakeOpenAI() as openai, FakeAnthropic() as anthropic, Gateway(home, config(openai.url, anthropic.url)) as run:
        yield Both(run, {"openai": openai, "anthropic": anthropic})


@pytest.mark.parametrize("style", STYLES)
def test_an_agent_speaks_with_anthropics_api_itself(style: str) -> None:
    model, how = STYLES[style]
    with FakeAnthropic() as fake:
        played = replay.play_anthropic(fake.port, model, STALLING, {"x-api-key": ANTHROPIC_CREDENTIAL}, how)
    replay.check(played.heard)
    assert all(turn.signed for turn in played.heard)
    assert all(turn.cached_tokens > 100_000 for turn in played.heard[1:])


def test_an_agent_speaks_with_openais_api_itself() -> None:
    with FakeOpenAI() as fake:
        played = replay.play_openai(fake.port, MODELS["openai"], STALLING, {"authorization": f"Bearer {CREDENTIAL}"})
        texts = replay.play_pair(fake.port, MODELS["openai"], {"authorization": f"Bearer {CREDENTIAL}"})
    replay.check(played.heard)
    assert texts == [replay.TEXT] * len(TURNS)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("style", STYLES)
def test_an_agent_in_anthropics_dialect_plays_through(both: Both, style: str, kind: str) -> None:
    fake = both.fakes[kind]
    before = len(fake.exchanges)
    model, how = STYLES[style]
    # Effort is for models that reason; `gpt-4o` refuses to be asked for it.
    asked = model if kind == "anthropic" else {"budget": "gpt-4o", "adaptive": "gpt-5.4-mini"}[style]
    played = replay.play_anthropic(both.gateway.port, asked, f"{kind}-{STALLING}", BEARER, how)
    replay.check(played.heard)
    _check_records(both.gateway, played)
    _check_hang_ups(fake, before)
    assert both.gateway.record(played.heard[-1].request_id)["user"] == replay.USER
    if kind == "anthropic":
        assert all(turn.signed for turn in played.heard)
        assert all(turn.cached_tokens > 100_000 for turn in played.heard[1:])
        last = fake.last
        assert last.header("anthropic-beta") == how.betas
        assert (last.header("x-api-key"), last.header("authorization")) == (ANTHROPIC_CREDENTIAL, None)
        assert last.json["metadata"] == {"user_id": replay.USER}
        assert last.body.count(b'"cache_control"') == 4
        assert {name: last.json[name] for name in how.fields} == how.fields


@pytest.mark.parametrize("kind", MODELS)
def test_an_agent_in_openais_dialect_plays_through(both: Both, kind: str) -> None:
    fake = both.fakes[kind]
    before = len(fake.exchanges)
    played = replay.play_openai(both.gateway.port, MODELS[kind], f"{kind}-{STALLING}", BEARER)
    replay.check(played.heard)
    _check_records(both.gateway, played)
    _check_hang_ups(fake, before)


@pytest.mark.parametrize("kind", MODELS)
def test_a_pair_programmer_without_tools_plays_through(both: Both, kind: str) -> None:
    assert replay.play_pair(both.gateway.port, MODELS[kind], BEARER) == [replay.TEXT] * len(TURNS)


def _check_records(gateway: Gateway, played: replay.Replay) -> None:
    """What the client was told of tokens is what was recorded, in the session that it named."""
    last = played.heard[-1]
    record = gateway.record(last.request_id)
    assert (record["outcome"], record["session"]) == ("ok", replay.SESSION)
    usage = record["usage"]
    assert (usage["input_tokens"], usage["cached_input_tokens"]) == (last.input_tokens, last.cached_tokens)
    assert len(played.interrupted) == sum(turn.interrupted_after is not None for turn in TURNS)
    for request_id in played.interrupted:
        assert gateway.record(request_id)["outcome"] == "client_closed"


def _check_hang_ups(fake: FakeServer, before: int) -> None:
    """No upstream was left producing for a client that had gone."""
    for exchange in fake.exchanges[before:]:
        assert exchange.completed.is_set() or exchange.hung_up.wait(5) or exchange.completed.is_set()
