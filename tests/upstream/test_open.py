import subprocess
import sys

import pytest

from headgate.upstream.addresses import Origin
from headgate.upstream.aiohttp_transport import AiohttpTransport
from headgate.upstream.lean import LeanTransport
from headgate.upstream.open import open_transport
from headgate.upstream.options import TransportOptions

ORIGIN = Origin("http", "127.0.0.1", 1)


def test_each_kind_opens_its_transport() -> None:
    assert isinstance(open_transport("lean", ORIGIN, TransportOptions()), LeanTransport)
    assert isinstance(open_transport("aiohttp", ORIGIN, TransportOptions()), AiohttpTransport)


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="httpx"):
        open_transport("httpx", ORIGIN, TransportOptions())


def test_aiohttp_is_loaded_only_where_it_is_used() -> None:
    script = "import headgate.upstream.open, sys; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
