"""schemathesis against the real app: what the document promises is what the API does, for inputs nobody thought of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from schemathesis import openapi
from schemathesis.specs.openapi.checks import positive_data_acceptance

from headgate.admin.endpoint import AnyEndpoint
from headgate.admin.table import ENDPOINTS
from headgate.storage.engine import open_database
from tests.admin.calling import OPERATOR, Api, open_api
from tests.ledger.threaded import threaded_ledger

pytestmark = pytest.mark.slow

EXAMPLES = 8
HEADERS = {"Authorization": f"Bearer {OPERATOR}", "Host": "127.0.0.1"}


def now_ms() -> int:
    return 1_795_003_200_000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Api]:
    path = tmp_path_factory.mktemp("schemathesis") / "headgate.db"
    path.write_bytes(template.read_bytes())
    database = open_database(f"sqlite:///{path}")
    try:
        with threaded_ledger(path.with_name("ledger.db"), now_ms) as threaded:
            yield open_api(database, now_ms, threaded.desk)
    finally:
        database.close()


@pytest.fixture(scope="module")
def document(shared: Api) -> Any:
    return openapi.from_asgi("/admin/v1/openapi.json", shared.app, headers=HEADERS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_the_api_keeps_what_its_document_promises(document: Any, endpoint: AnyEndpoint):
    operation = document[endpoint.path][endpoint.method]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy())
    def keeps(case: Any) -> None:
        # A cursor, a time zone or an id may be of the right shape and still be none of ours: 422 is then the promise.
        case.call_and_validate(headers=HEADERS, excluded_checks=[positive_data_acceptance])

    keeps()
