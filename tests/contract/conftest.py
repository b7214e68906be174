"""Every test runs by each transport, on both event loops: the standard one, and the one that production uses."""

import pytest

from tests.upstream.callers import KINDS
from tests.upstream.conftest import pytest_asyncio_loop_factories

__all__ = ["kind", "pytest_asyncio_loop_factories"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The transport by which the test runs."""
    return request.param
