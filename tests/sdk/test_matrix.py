"""Every cell of the compatibility matrix, run through a real gateway before strict providers of both kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import ROOT, Gateway
from tests.sdk.both import config, run_client
from tests.sdk.matrix import (
    CLIENTS,
    FAILURES,
    PROVIDERS,
    SCENARIOS,
    Failure,
    Scenario,
    expectation,
    page,
    render,
    verdict,
)

PAGE = ROOT / "docs" / "reference" / "compatibility.md"
Seen = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What each client saw before each kind of provider."""
    home: Path = tmp_path_factory.mktemp("matrix")
    with FakeOpenAI() as openai, FakeAnthropic() as anthropic, Gateway(home, config(openai.url, anthropic.url)) as both:
        yield {
            (client, kind): run_client(client, kind, both.base_url, home) for client in CLIENTS for kind in PROVIDERS
        }


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_comes_out_as_the_table_says(seen: Seen, scenario: Scenario, client: str, kind: str) -> None:
    found = verdict(scenario, client, kind, seen[client, kind])
    assert found == expectation(scenario.name, client, kind)


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_a_failure_is_the_sdks_own_exception_with_the_contracts_code(
    seen: Seen, failure: Failure, client: str, kind: str
) -> None:
    error = seen[client, kind]["errors"][failure.name]
    assert (error["class"], error["code"]) == (getattr(failure, client), failure.code)
    if failure.status not in (None, 200):
        assert (error["status"], error["should_retry"]) == (failure.status, failure.retry)
        assert error["request_id"]
    if failure.name == "rate_limited":
        assert error["retry_after"] == "7"


def test_the_page_is_what_the_run_came_to(seen: Seen) -> None:
    verdicts = {
        (scenario.name, client, kind): verdict(scenario, client, kind, seen[client, kind])
        for scenario in SCENARIOS
        for client in CLIENTS
        for kind in PROVIDERS
    }
    assert PAGE.read_text("utf-8") == render(verdicts)


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: python -m tests.sdk.matrix > " + PAGE.name
