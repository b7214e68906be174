"""What the response cache costs, and whether it ever gives one tenant's answer to another.

    python -m bench.cache

Miss: CPU µs of our own code for a request that is looked for and not found: reading what it asks, its key, the look
into memory. Hit: what a real gateway process adds to requests that are answered from memory, as its records say it, one
after the other on one connection. Tenants: seeded cases, each a caller and a question, over few of both, so that nearly
all of them find something; what is found must have been kept for the caller's own partition. Bars: a miss 25 µs, a hit
150 µs at p50, 0 answers of others.
"""

import argparse
import http.client
import json
import random  # noqa: TID251  seeded, so that every run asks the same
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import asdict

from bench import targets
from bench.report import header
from bench.translation import best_us
from headgate.cache.entry import Entry
from headgate.cache.exact import ExactCache
from headgate.cache.key import Partition, key_of
from headgate.domain.caching import CachePolicy
from headgate.pipeline.caching import Questions
from headgate.wire import WIRE_FORMATS

CHAT = WIRE_FORMATS["openai_chat"]
POLICY = CachePolicy()
PARTITION = Partition("org_1", "org_1", "chat", "gpt-4o", "openai/gpt-4o", "-")
SECRET = bytes(range(32))
NOW_MS = 1_795_000_000_000
MISSES = 2000
HITS = 2000
PAGE = 200


def body_of(number: int, size: int) -> bytes:
    """A chat request of about ``size`` bytes that differs from all others."""
    text = f"{number} " + "How much water does the upper field draw? " * (size // 42)
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "max_tokens": 256}).encode()


def cache() -> ExactCache:
    return ExactCache(None, most_bytes=1 << 30, clock=time.perf_counter, clock_ms=lambda: NOW_MS)


def miss_us(size: int) -> float:
    """CPU µs of a look that finds nothing, for bodies that were never seen."""
    exact = cache()
    envelopes = [(body := body_of(number, size), CHAT.parse_envelope(body).fields) for number in range(MISSES)]

    def look() -> None:
        questions, bodies = Questions(), envelopes
        for body, fields in bodies:
            question = questions.read(CHAT, POLICY, body, fields)
            assert isinstance(question, bytes)
            assert exact.find(key_of(SECRET, PARTITION, question), NOW_MS) is None

    return best_us(look, 1) / MISSES


def hit_ms(directory: Path) -> list[float]:
    """What a gateway added to each of `HITS` hits, ms."""
    targets.build(directory)
    body = targets.request_body(stream=False)
    fields = {"authorization": f"Bearer {targets.KEY}", "content-type": "application/json"}
    with (
        targets.upstream(directory) as port,
        targets.headgate(directory, f"http://127.0.0.1:{port}/v1", name="hit", cache=True) as target,
    ):
        line = http.client.HTTPConnection("127.0.0.1", target.port)
        for _ in range(HITS + 100):
            line.request("POST", targets.PATH, body, fields)
            line.getresponse().read()
        time.sleep(1.5)
        token = (directory / "hit" / "data" / "admin-token").read_text().strip()
        found: list[float] = []
        cursor = ""
        while len(found) < HITS:
            line.request(
                "GET", f"/admin/v1/requests?limit={PAGE}{cursor}", headers={"authorization": f"Bearer {token}"}
            )
            page = json.loads(line.getresponse().read())
            found += [each["overhead_ms"] for each in page["data"] if each["cache"]["status"] == "hit-exact"]
            cursor = f"&cursor={page['next_cursor']}"
    return found[:HITS]


def foreign_hits(cases: int, seed: int, tell: Callable[[str], None]) -> tuple[int, int]:
    """Return how many cases found an answer, and how many found another partition's."""
    pick, exact, questions = random.Random(seed), cache(), Questions()
    partitions = [
        Partition(f"org_{org}", scope, operation, model, f"openai/{model}", policies)
        for org in range(12)
        for scope in (f"org_{org}", f"team_{org % 3}", "key_1")
        for operation in ("chat", "embeddings")
        for model in ("a", "b")
        for policies in ("-", "eu")
    ]
    secrets = {each.organization_id: pick.randbytes(32) for each in partitions}
    bodies = [body_of(number, 60) for number in range(40)]
    asked = [questions.read(CHAT, POLICY, body, CHAT.parse_envelope(body).fields) for body in bodies]
    found = foreign = 0
    for number in range(cases):
        partition, at = pick.choice(partitions), pick.randrange(len(asked))
        question = asked[at]
        assert isinstance(question, bytes)
        key = key_of(secrets[partition.organization_id], partition, question)
        mine = json.dumps([asdict(partition), at]).encode()
        kept = exact.find(key, NOW_MS)
        if kept is None:
            exact.keep(Entry(key, (partition.organization_id,), NOW_MS, NOW_MS + 10**9, NOW_MS + 10**9, mine))
        else:
            found += 1
            foreign += kept.entry.payload != mine
        if number % 100_000 == 0:
            tell(f"{number} of {cases} cases")
    return found, foreign


def main() -> int:
    """Print the figures; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.cache", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1_000_000, help="seeded cases of tenants (default: a million)")
    parser.add_argument("--seed", type=int, default=20261125)
    options = parser.parse_args()
    print(header())
    small, large = miss_us(900), miss_us(9000)
    print(f"a miss costs            {small:.1f} µs at 0.9 KB, {large:.1f} µs at 9 KB (bar 25)")
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        added = sorted(hit_ms(Path(directory)))
    p50, p99 = statistics.median(added), added[int(len(added) * 0.99)]
    print(
        f"a hit adds              p50 {p50 * 1000:.0f} µs, p99 {p99 * 1000:.0f} µs, n = {len(added)} (bar 150 at p50)"
    )
    found, foreign = foreign_hits(options.cases, options.seed, lambda text: print(text, file=sys.stderr, flush=True))
    print(
        f"answers of others       {foreign} in {options.cases} cases, of which {found} found one, seed {options.seed}"
    )
    return int(small > 25 or p50 > 0.15 or foreign > 0)


if __name__ == "__main__":
    sys.exit(main())
