"""Network transports are run on both event loops: the standard one, and the one that production uses."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

ON_BOTH = ("test_transport", "test_connection", "test_pool", "test_dial")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    factories: dict[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if item.path.name.startswith(ON_BOTH):
        factories["asyncio"] = asyncio.new_event_loop
    return factories
