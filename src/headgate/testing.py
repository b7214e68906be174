"""A whole gateway for your own tests: real listener, real database, sandbox provider, nothing left behind.

async with gateway() as local:
    client = AsyncOpenAI(base_url=local.url + "/v1", api_key=local.key)
    await client.chat.completions.create(model="sandbox/echo", messages=[…])
"""

import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from headgate.app import ADMIN_TOKEN_FILE, open_gateway
from headgate.settings.load import default_settings
from headgate.settings.model import Settings, StorageSettings

_NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


class LocalGateway(Struct, frozen=True):
    """A running gateway of a test."""

    url: str
    """Where the data plane answers, without ``/v1``."""
    admin_url: str
    key: str
    """A virtual key that may use every model, the sandbox too; empty where the settings provision keys of their own."""
    admin_token: str
    data_dir: Path


@asynccontextmanager
async def gateway(
    settings: Settings | None = None, environ: Mapping[str, str] = _NO_ENVIRONMENT
) -> AsyncGenerator[LocalGateway]:
    """Run a gateway on a free loopback port, with its data in a directory that goes when the block ends.

    Args:
        settings: what to run; the sandbox alone where left out. Listener and storage are replaced.
        environ: where proxies are looked for; by default nowhere.
    """
    with tempfile.TemporaryDirectory(prefix="headgate-") as directory:
        chosen = default_settings({}, {}) if settings is None else settings
        chosen = replace(
            chosen,
            server=replace(chosen.server, listen="127.0.0.1:0", drain=min(chosen.server.drain, 5.0)),
            storage=StorageSettings(database=f"sqlite:///{directory}/headgate.db"),
            data_dir=directory,
        )
        async with open_gateway(chosen, environ) as running:
            token = chosen.server.admin_token.reveal() or (Path(directory) / ADMIN_TOKEN_FILE).read_text().strip()
            yield LocalGateway(
                url=running.url,
                admin_url=running.admin_url,
                key=running.first_key.secret if running.first_key is not None else "",
                admin_token=token,
                data_dir=Path(directory),
            )
