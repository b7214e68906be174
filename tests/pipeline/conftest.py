"""A whole gateway with the sandbox, and what it recorded."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from headgate.testing import LocalGateway, gateway


class Caller:
    """Asks one gateway and reads back what was recorded."""

    def __init__(self, local: LocalGateway, session: aiohttp.ClientSession) -> None:
        self.local = local
        self.session = session
        self.headers = {"authorization": f"Bearer {local.key}"}

    def post(self, model: str, path: str = "/v1/chat/completions", **body: Any) -> Any:
        """The context manager of one request; ``headers`` may be given."""
        headers = {**self.headers, **body.pop("headers", {})}
        body = {"model": model, "messages": [{"role": "user", "content": "one two three"}], **body}
        return self.session.post(self.local.url + path, json=body, headers=headers)

    async def ask(self, model: str, **body: Any) -> tuple[int, dict[str, str], Any]:
        async with self.post(model, **body) as answer:
            return (
                answer.status,
                {name.lower(): value for name, value in answer.headers.items()},
                json.loads(await answer.read()),
            )

    async def events(self, model: str, **body: Any) -> tuple[dict[str, str], list[str]]:
        """The data of every event of a stream."""
        async with self.post(model, stream=True, **body) as answer:
            assert answer.status == 200
            text = (await answer.read()).decode()
        return {name.lower(): value for name, value in answer.headers.items()}, [
            part.removeprefix("data: ") for part in text.split("\n\n") if part
        ]

    async def record(self, request_id: str) -> dict[str, Any]:
        """The record of a request, as soon as it is written."""
        admin = {"authorization": f"Bearer {self.local.admin_token}"}
        deadline = time.monotonic() + 10
        while True:
            async with self.session.get(
                f"{self.local.admin_url}/admin/v1/requests/{request_id}", headers=admin
            ) as answer:
                if answer.status == 200:
                    return await answer.json()
            assert time.monotonic() < deadline, "the request was not recorded"
            await asyncio.sleep(0.02)

    async def last_record(self) -> dict[str, Any]:
        """The newest record, as soon as there is one."""
        admin = {"authorization": f"Bearer {self.local.admin_token}"}
        deadline = time.monotonic() + 10
        while True:
            async with self.session.get(f"{self.local.admin_url}/admin/v1/requests?limit=1", headers=admin) as answer:
                found = (await answer.json())["data"]
            if found:
                return found[0]
            assert time.monotonic() < deadline, "nothing was recorded"
            await asyncio.sleep(0.02)


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with gateway() as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)
