"""The real REST API over a real SQLite database, and two organizations in it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.storage.engine import open_database
from headgate.storage.migrate import migrate
from tests.admin.calling import Api, open_api
from tests.admin.people import Tenant, add_tenant
from tests.cache.threaded import ThreadedCache, threaded_cache
from tests.ledger.threaded import threaded_ledger


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database; each test copies it, which is faster than migrating again."""
    path = tmp_path_factory.mktemp("template") / "headgate.db"
    migrate(f"sqlite:///{path}")
    return path


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def api(tmp_path: Path, template: Path) -> Iterator[Api]:
    """The API as the operator sees it."""
    (tmp_path / "headgate.db").write_bytes(template.read_bytes())
    database = open_database(f"sqlite:///{tmp_path / 'headgate.db'}")
    try:
        with threaded_ledger(tmp_path / "ledger.db", now_ms) as threaded:
            yield open_api(database, now_ms, threaded.desk)
    finally:
        database.close()


@pytest.fixture
def cache() -> Iterator[ThreadedCache]:
    """A cache to put something into."""
    with threaded_cache(now_ms) as threaded:
        yield threaded


@pytest.fixture
def caching(api: Api, cache: ThreadedCache) -> Api:
    """The same API of a gateway that keeps answers."""
    return open_api(api.plane.database, now_ms, api.plane.ledger, cache.desk)


@pytest.fixture
async def acme(api: Api) -> Tenant:
    """An organization with people."""
    return await add_tenant(api, "acme")


@pytest.fixture
async def globex(api: Api) -> Tenant:
    """Another one."""
    return await add_tenant(api, "globex")
