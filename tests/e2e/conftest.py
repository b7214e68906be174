"""One gateway and one upstream for the tests of a file that only ask."""

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
    # An answer of 128 MiB must meet the bound of 64 MiB before the time is up, on a busy machine too.
    with Gateway(tmp_path_factory.mktemp("gateway"), config(fake.url)) as running:
        yield running
