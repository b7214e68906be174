"""What the scripts of this folder share: run scenarios, print what they saw. Needs nothing but the standard library."""

import asyncio
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any


def report(scenarios: Iterable[Callable[[], Any]]) -> None:
    """Run the scenarios and print one JSON object; one that raises reports that, so that the others are still seen.

    Each asynchronous one gets an event loop of its own. ``ONLY``, a JSON list, names the ones to run.
    """
    only = json.loads(os.environ.get("ONLY", "null"))
    seen: dict[str, Any] = {}
    for scenario in scenarios:
        if only is not None and scenario.__name__ not in only:
            continue
        try:
            result = scenario()
            seen[scenario.__name__] = asyncio.run(result) if inspect.iscoroutine(result) else result
        except Exception as error:
            seen[scenario.__name__] = {"raised": f"{type(error).__name__}: {error}"}
    json.dump(seen, sys.stdout)
