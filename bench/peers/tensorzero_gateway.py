"""Runs TensorZero's HTTP gateway from its wheel: ``python tensorzero_gateway.py CONFIG``. Prints "ready URL".

It is run by the peer's own interpreter and imports nothing of ours. The wheel holds the gateway for
``tensorzero.patch_openai_client``, which serves it on a free port of loopback; this is the call inside it. Python only
waits: all threads that serve are Rust's.
"""

import importlib
import signal
import sys

# By name: our own environment does not hold it, and the checkers look there.
gateway = importlib.import_module("tensorzero")._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print("ready", gateway.base_url, flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
