"""Where the proofs read: the sandbox's meter, the accounts of a key, the records, the ledger's second opinion.

All of it over HTTP as an operator reads it. Money is nano-USD.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp

from headgate.domain.money import parse_usd
from headgate.providers.sandbox import label_credential
from tests.gateway import Gateway


class Price(NamedTuple):
    """What tokens cost, nano-USD for each."""

    input: int = 1_000
    output: int = 2_000

    def of(self, input_tokens: int, output_tokens: int) -> int:
        """What a provider bills for so many tokens."""
        return input_tokens * self.input + output_tokens * self.output


SANDBOX_PRICE = Price()


class Balance(NamedTuple):
    """One account at one moment."""

    kind: str
    scope: str
    limit: int
    posted: int
    held: int


class Billed(NamedTuple):
    """What a meter says."""

    calls: int
    input_tokens: int
    output_tokens: int

    def cost(self, price: Price = SANDBOX_PRICE) -> int:
        return price.of(self.input_tokens, self.output_tokens)


class Reader:
    """Reads one gateway as its operator, over a session of its own."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self._url = gateway.base_url
        self._session = session
        self._headers = {"authorization": f"Bearer {gateway.admin_token}"}

    async def get(self, path: str) -> Any:
        async with self._session.get(self._url + path, headers=self._headers) as answer:
            value = await answer.json()
            assert answer.status == 200, (path, answer.status, value)
            return value

    async def meters(self) -> dict[str, Billed]:
        """The sandbox's meter by the label of the credential, and ``""`` for all of them."""
        reading = await self.get("/sandbox/meter")
        found = {label: Billed(**tally) for label, tally in reading["credentials"].items()}
        return found | {"": Billed(**reading["total"])}

    async def key_ids(self) -> dict[str, str]:
        """The id of every key by its name."""
        return {row["name"]: row["id"] for row in (await self.get("/admin/v1/keys?limit=200"))["data"]}

    async def balances(self, key_id: str) -> list[Balance]:
        """Every account on the path of a key, the organization's first."""
        return balances_of(await self.get(f"/admin/v1/keys/{key_id}/status"))

    async def records(self, query: str = "") -> list[dict[str, Any]]:
        """Every record, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            after = f"&cursor={quote(cursor)}" if cursor else ""
            page = await self.get(f"/admin/v1/requests?limit=200{query}{after}")
            found += page["data"]
            cursor = page["next_cursor"]
        return found

    async def verify(self) -> dict[str, Any]:
        """Let the ledger be added up a second time."""
        url = self._url + "/admin/v1/ledger/verify"
        async with self._session.post(url, headers=self._headers) as answer:
            value = await answer.json()
            assert answer.status == 200, value
            return value


def balances_of(status: dict[str, Any]) -> list[Balance]:
    """Read the answer of ``GET keys/{id}/status``."""
    return [
        Balance(
            row["kind"],
            row["scope_id"],
            parse_usd(row["limit_usd"]),
            parse_usd(row["posted_usd"]),
            parse_usd(row["held_usd"]),
        )
        for row in status["budgets"]
    ]


def cost_of_record(record: dict[str, Any]) -> int:
    """What a record says the request cost."""
    return parse_usd(record["cost_usd"] or "0")


def credential_of(number: int) -> str:
    """The credential of a sandbox of its own, so that its meter stands for itself."""
    return f"sandbox-credential-{number:04d}-of-the-proofs"


def label_of(number: int) -> str:
    """The meter's name for it."""
    return label_credential(credential_of(number))


def sandboxes(count: int, price: str = "") -> Iterator[str]:
    """The ``providers`` and ``models`` blocks with so many sandboxes; ``kN/SCRIPT`` is answered by the N-th."""
    yield "providers:"
    for number in range(count):
        yield f"  sandbox{number}: {{kind: sandbox, credential: {credential_of(number)}}}"
    yield "models:"
    priced = f", price: {price}" if price else ""
    for number in range(count):
        yield f'  - {{alias: "k{number}/*", deployments: [{{provider: sandbox{number}, model: "*"{priced}}}]}}'


def secret_of(number: int) -> str:
    """The presented key of the N-th application."""
    return f"key-of-the-proofs-with-a-budget-{number:04d}"
