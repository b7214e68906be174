"""A real database and records to put into it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from headgate.domain.ids import mint
from headgate.domain.record import Attempt, Outcome, RequestRecord
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.storage.engine import Database, open_database
from headgate.storage.migrate import migrate

NOON_MS = 1_763_899_200_000  # 2025-11-23T12:00:00Z

MakeRecord = Callable[..., RequestRecord]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "headgate.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Iterator[Database]:
    shutil.copy(empty_database, tmp_path / "headgate.db")
    opened = open_database(f"sqlite:///{tmp_path}/headgate.db")
    yield opened
    opened.close()


@pytest.fixture
def make_record() -> MakeRecord:
    count = 0

    def make(**changes: object) -> RequestRecord:
        nonlocal count
        count += 1
        record = RequestRecord(
            id=mint("req", NOON_MS + count, count.to_bytes(10)),
            started_at_ms=NOON_MS + count,
            organization_id="org_a",
            path=("org_a", "team_a"),
            key_id="key_a",
            end_user="ada",
            session=None,
            tags=(("job", "nightly"),),
            operation="chat",
            wire_format="openai_chat",
            model="gpt-4o",
            provider="openai",
            deployment="openai/gpt-4o",
            upstream_model="gpt-4o",
            stream=True,
            attempts=(Attempt("openai", "openai/gpt-4o", "gpt-4o", 200, None, 12.5, "up-1"),),
            outcome=Outcome.OK,
            status=200,
            error_code=None,
            finish_reason="stop",
            usage=TokenUsage(input_tokens=10, cached_input_tokens=4, output_tokens=7, reasoning_tokens=2),
            usage_quality=UsageQuality.PROVIDER,
            cost_nano_usd=42_500,
            priced=True,
            price_version="genai-prices 0.2.3",
            first_event_ms=3.25,
            duration_ms=20.125,
            overhead_ms=0.5,
        )
        return replace(record, **changes)

    return make
