"""A policy of two deployments and traces of a few lines, small enough to reckon by hand."""

from pathlib import Path
from typing import Any

from headgate.simulation.policy import Policy, read_policy
from headgate.simulation.profile import ProfileBook
from headgate.simulation.trace import Profile, TraceRow

TWO = """
providers:
  near: {kind: openai, base_url: "https://near.example/v1", credential: "${NEAR_KEY:-}"}
  far: {kind: openai, base_url: "https://far.example/v1", credential: "${FAR_KEY:-}"}
models:
  - alias: m
    deployments:
      - {provider: near, model: a, price: {input_per_mtok: "10", output_per_mtok: "20"}}
      - {provider: far, model: b, price: {input_per_mtok: "1", output_per_mtok: "2", cached_input_per_mtok: "0.5"}}
  - alias: none
    deployments: [{provider: near, model: unpriced}]
"""
EXACT = Profile(first_event_ms=1000, tokens_per_s=10, spread=0)
"""20 tokens of output take exactly 3 s, the first event exactly 1 s."""


def policy(directory: Path, text: str = TWO, name: str = "policy.yaml") -> Policy:
    file = directory / name
    file.write_text(text)
    return read_policy(file, {})


def swapped() -> str:
    """The same, the other deployment first."""
    near, far = [line for line in TWO.splitlines() if "mtok" in line]
    return TWO.replace(f"{near}\n{far}", f"{far}\n{near}")


def row(number: int, at_s: float, model: str = "m", **fields: Any) -> TraceRow:
    return TraceRow(f"r{number}", int(at_s * 1000), model, 1000, **({"output_tokens": 20} | fields))


def profiles(**stated: Profile) -> ProfileBook:
    """``near`` and ``far`` by their names; exact where nothing is given."""
    return ProfileBook({"near/a": stated.get("near", EXACT), "far/b": stated.get("far", EXACT)})
