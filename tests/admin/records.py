"""Records of requests for tests of what the API reports."""

from typing import Any

from headgate.domain.record import Attempt, Outcome, RequestRecord
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.records.writer import RecordWriter
from tests.admin.calling import Api

NOON = 1_795_003_200_000
"""2026-11-18T12:00:00Z in ms."""


def record(number: int, organization: str | None, **changes: Any) -> RequestRecord:
    values: dict[str, Any] = {
        "id": f"req_{number:026d}",
        "started_at_ms": NOON + number * 1000,
        "organization_id": organization,
        "path": (organization,) if organization else (),
        "key_id": "key_1",
        "end_user": None,
        "session": None,
        "tags": (("service", "search"),),
        "operation": "chat",
        "wire_format": "openai_chat",
        "model": "gpt-4o",
        "provider": "openai",
        "deployment": "openai/gpt-4o",
        "upstream_model": "gpt-4o",
        "stream": False,
        "attempts": (Attempt("openai", "openai/gpt-4o", "gpt-4o", 200, None, 12.5),),
        "outcome": Outcome.OK,
        "status": 200,
        "error_code": None,
        "finish_reason": "stop",
        "usage": TokenUsage(input_tokens=1000, output_tokens=100),
        "usage_quality": UsageQuality.PROVIDER,
        "cost_nano_usd": 3_500_000,
        "priced": True,
        "price_version": "test 1",
        "first_event_ms": 10.0,
        "duration_ms": 15.0,
        "overhead_ms": 0.4,
    }
    return RequestRecord(**(values | changes))


def write(api: Api, *records: RequestRecord) -> None:
    writer = RecordWriter(api.plane.database)
    for each in records:
        writer.append(each)
    writer.flush()
