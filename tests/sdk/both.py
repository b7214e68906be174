"""A gateway before both providers, and the run of a client library against it."""

from pathlib import Path
from typing import Any

from tests.fakes.anthropic_api import ANTHROPIC_CREDENTIAL
from tests.fakes.openai_api import CREDENTIAL
from tests.gateway import KEY, LIMITED_KEY
from tests.sdk.running import run_python

MODELS = {
    "openai": {"MODEL": "gpt-4o", "THINKING_MODEL": "gpt-5.4-mini", "BUDGET_MODEL": "gpt-5.4-mini"},
    "anthropic": {
        "MODEL": "claude-sonnet-4-6",
        "THINKING_MODEL": "claude-opus-5-5",
        "BUDGET_MODEL": "claude-sonnet-4-6",
    },
}
"""What the scripts ask of each kind of provider: newer models think as they see fit, older ones by a budget."""
SCRIPTS = {"openai": "openai_matrix_script.py", "anthropic": "anthropic_script.py"}


def config(openai_url: str, anthropic_url: str, *, drain: str = "5s") -> str:
    """A configuration with one provider of each kind, and ``KIND-fault-…`` for the faults of each."""
    price = 'price: {input_per_mtok: "2.50", output_per_mtok: "10"}'
    aliases = "".join(
        f"  - alias: {model}\n    deployments: [{{provider: {kind}, model: {model}, {price}}}]\n"
        for kind, asked in MODELS.items()
        for model in sorted(set(asked.values()))
    )
    return f"""
server: {{drain: {drain}}}
timeouts: {{connect: 2s, first_event: 2s, idle: 2s, total: 30s}}
providers:
  openai: {{kind: openai, base_url: "{openai_url}", credential: {CREDENTIAL}, allow_private_network: true}}
  anthropic:
    {{kind: anthropic, base_url: "{anthropic_url}", credential: {ANTHROPIC_CREDENTIAL}, allow_private_network: true}}
models:
{aliases}\
  - alias: "openai-fault-*"
    deployments: [{{provider: openai, model: "fault-*", {price}}}]
  - alias: "anthropic-fault-*"
    deployments: [{{provider: anthropic, model: "fault-*", {price}}}]
organizations:
  - slug: acme
    name: Acme
    keys:
      - {{name: all, models: ["*"], secret: {KEY}}}
      - {{name: limited, models: ["gpt-4o"], secret: {LIMITED_KEY}}}
"""


def run_client(client: str, kind: str, gateway_url: str, home: Path) -> dict[str, Any]:
    """Run every scenario of a client library against one kind of provider behind a gateway."""
    keys = {"KEY": KEY, "LIMITED_KEY": LIMITED_KEY, "FAULTS": f"{kind}-fault-"}
    return run_python(client, SCRIPTS[client], home, GATEWAY=gateway_url, **keys, **MODELS[kind])
