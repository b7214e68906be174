"""The fakes and the scripts of the matrix, without a gateway: what each SDK sees of its own vendor's API."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.anthropic_api import ANTHROPIC_CREDENTIAL, FakeAnthropic
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.sdk.both import MODELS, SCRIPTS
from tests.sdk.matrix import CLIENTS, EXCEPTIONS, FAILURES, SCENARIOS, Scenario
from tests.sdk.running import run_python

Seen = dict[str, dict[str, Any]]
CASES = [
    (client, scenario)
    for client in CLIENTS
    for scenario in SCENARIOS
    if (scenario.name, client, client) not in EXCEPTIONS
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    home: Path = tmp_path_factory.mktemp("direct")
    found: Seen = {}
    with FakeOpenAI() as openai, FakeAnthropic() as anthropic:
        for client, fake, key in (("openai", openai, CREDENTIAL), ("anthropic", anthropic, ANTHROPIC_CREDENTIAL)):
            keys = {"KEY": key, "LIMITED_KEY": "sk-limited", "FAULTS": "fault-", "TIMEOUT_S": "3"}
            root = fake.url.removesuffix("/v1")
            found[client] = run_python(client, SCRIPTS[client], home, GATEWAY=root, **keys, **MODELS[client])
    return found


@pytest.mark.parametrize(("client", "scenario"), CASES, ids=lambda case: getattr(case, "name", case))
def test_a_fake_satisfies_the_vendors_own_sdk(seen: Seen, client: str, scenario: Scenario) -> None:
    assert seen[client][scenario.name] == scenario.expected


def test_every_error_of_anthropics_fake_is_one_of_its_sdk(seen: Seen) -> None:
    classes = {name: error["class"] for name, error in seen["anthropic"]["errors"].items() if error is not None}
    assert classes == {
        "wrong_key": "AuthenticationError",
        "not_allowed": "AuthenticationError",
        "unknown_model": "NotFoundError",
        "bad_request": "BadRequestError",
        "context_length": "BadRequestError",
        "too_large": "ContentTooLargeError",
        "rate_limited": "RateLimitError",
        "upstream_credential": "AuthenticationError",
        "upstream_error": "InternalServerError",
        "overloaded": "OverloadedError",
        "upstream_timeout": "APITimeoutError",
        "client_timeout": "APITimeoutError",
        "stream_error_event": "APIStatusError",
        "stream_cut": "RemoteProtocolError",
    }
    assert {failure.name for failure in FAILURES} >= classes.keys()
