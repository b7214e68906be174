"""Network transports are run on both event loops: the standard one, and the one that production uses."""

from tests.upstream.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
