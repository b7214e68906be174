"""The budgets, proven through the whole gateway over HTTP: `python -m bench.budgets [--only NAME …] [--write]`.

    a3        200 clients, 50,000 requests, three levels, at the last cents
    agents    four coding agents with contexts of up to 150,000 tokens on 20 USD
    a5        20,000 mixed requests: the ledger beside the sandbox's meter, and beside a bill by OpenAI's tokenizer
    a6        100 times kill -9 under load

The judge is the provider's meter: the sandbox's own, or that of an upstream which outlives the gateway. Everything that
is random follows from ``--seed``; timing does not. ``--requests`` is A3's number; a smaller one makes the rest smaller
in proportion.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.budgets import accuracy, agents, crowd, kills, report
from bench.budgets.place import Price
from bench.budgets.report import Part

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS-budgets.md"
CALLERS = 200
REQUESTS = 50_000


def a3(place: Path, requests: int, seed: int) -> list[Part]:
    return [report.of_crowd(crowd.run(place, requests=requests, callers=CALLERS, seed=seed), CALLERS)]


def agent_sessions(place: Path, _: int, seed: int) -> list[Part]:
    shapes = {"GPT-5's price": agents.Shape(), "Claude Sonnet's price": agents.Shape(price=Price(3_000, 15_000))}
    parts: list[Part] = []
    for number, (name, shape) in enumerate(shapes.items()):
        part = report.of_agents(agents.run(place / str(number), shape, seed))
        parts.append(part._replace(title=f"{part.title}, {name}"))
    return parts


def a5(place: Path, requests: int, seed: int) -> list[Part]:
    count = requests * 2 // 5
    found = accuracy.of_sandbox(place / "sandbox", count, seed)
    parts = [report.of_accuracy(found, "A5: beside the sandbox's meter, both dialects", is_own_tokenizer=False)]
    found = accuracy.of_upstream(place / "upstream", count, seed)
    title = "A5: beside a bill by OpenAI's tokenizer, both dialects"
    return [*parts, report.of_accuracy(found, title, is_own_tokenizer=True)]


def a6(place: Path, requests: int, seed: int) -> list[Part]:
    found = kills.run(place, max(1, requests // 500), seed)
    part = report.of_kills(found)
    return [part._replace(checks=(*part.checks, report.of_ready(found)))]


PARTS: dict[str, Callable[[Path, int, int], list[Part]]] = {"a3": a3, "agents": agent_sessions, "a5": a5, "a6": a6}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.budgets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--write", action="store_true", help=f"write bench/{RESULTS.name}")
    given = parser.parse_args()
    parts: list[Part] = []
    for name in given.only:
        with tempfile.TemporaryDirectory(prefix="headgate-budgets-") as place:
            parts += PARTS[name](Path(place), given.requests, given.seed)
        print(f"{name}: done", file=sys.stderr, flush=True)
    text = report.text_of(parts, given.seed)
    print(text)
    if given.write:
        RESULTS.write_text(text)
    return 1 if any(map(report.missed, parts)) else 0


if __name__ == "__main__":
    sys.exit(main())
