"""One gateway and one upstream for the attacks of a file."""

from collections.abc import Iterator

import pytest

from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import Gateway, config


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(
        tmp_path_factory.mktemp("gateway"), config(fake.url, server="drain: 5s, header_timeout: 1s")
    ) as running:
        yield running
