"""Write docs/reference/providers.md from the tables: ``python -m headgate.providers.reference > FILE``.

A test compares the page with the tables, so a new row needs the page written again.
"""

import sys
from typing import Final

from headgate.domain.money import format_usd
from headgate.providers import sandbox_script
from headgate.providers.compatible import VENDORS
from headgate.providers.provider import Vendor
from headgate.providers.sandbox import SANDBOX_PRICE
from headgate.providers.sandbox_answers import MAX_CHOICES

_HEAD: Final = """\
# Providers

A provider is a vendor's API with the credential you have there. The configuration file names it and says its `kind`:

```yaml
providers:
  groq:  {kind: groq, credential: "${GROQ_API_KEY:-}"}
  azure: {kind: azure, base_url: "https://example.openai.azure.com", credential: "${AZURE_OPENAI_API_KEY:-}"}
  aws:   {kind: bedrock, region: us-east-1, credential: "${AWS_BEARER_TOKEN_BEDROCK:-}"}
  local: {kind: vllm, base_url: "http://10.0.0.5:8000/v1", allow_private_network: true, price: free}
  claude: {kind: anthropic, credential: "${ANTHROPIC_API_KEY:-}"}
  other: {kind: openai_compatible, base_url: "https://llm.example.com/v1", credential: "${OTHER_KEY:-}"}
```

- A kind speaks OpenAI's format unless its note says otherwise. Callers need not care: requests are
  [translated](http-api.md#translation) where the formats differ.
- Any kind takes another `base_url`. Plain `http://` and addresses that are private or of this machine need
  `allow_private_network: true`; metadata and link-local addresses are refused always.
- A provider that needs a credential and has none is off.
- `max_output_field` overrides the name under which a maximum of output tokens is sent.
- *Usage in streams* says who asks: **asked** — Headgate adds `stream_options.include_usage` and hides the event again
  from a caller who did not ask; **not asked** — the vendor refuses the option, sends usage anyway, or documents
  neither; **always** — it is part of the format. Where no usage arrives, Headgate counts the tokens itself and marks
  the record as estimated.
- *Prices* names the vendor in the price catalogue; without one, give the deployment a `price`.

## Kinds

| kind | vendor | base URL | credential | output limit sent as | usage in streams | prices |
|---|---|---|---|---|---|---|
"""

_SANDBOX: Final = """\

## sandbox

`kind: sandbox` is a simulated provider inside Headgate: no key, no network. It takes part like any other, so it is what
tests, demonstrations and dry runs use. The upstream model's name scripts it:

```
{script}
```

It refuses what OpenAI's API refuses, and honours the output limit, `n` up to {choices}, `stream`, `stream_options`,
`tools`, `tool_choice`, `parallel_tool_calls`, `response_format`, and for embeddings `dimensions` and `encoding_format`.
Its meter counts calls, input tokens and the output tokens it truly made, so that tests can compare a ledger with it.
Unless its deployment says otherwise it costs {input_usd} USD per million input tokens and {output_usd} USD per million
output tokens.
"""


def render() -> str:
    """Return the whole page."""
    rows = "".join(_row(vendor) for vendor in VENDORS.values())
    notes = "".join(
        f"- `{vendor.kind}` ([documentation]({vendor.source})){_note(vendor)}\n" for vendor in VENDORS.values()
    )
    script = (sandbox_script.__doc__ or "").partition("\n\n")[2].strip("\n")
    sandbox = _SANDBOX.format(
        script=script,
        choices=MAX_CHOICES,
        input_usd=format_usd(SANDBOX_PRICE.rates.input),
        output_usd=format_usd(SANDBOX_PRICE.rates.output),
    )
    return f"{_HEAD}{rows}\n## Sources and notes\n\n{notes}{sandbox}"


def _row(vendor: Vendor) -> str:
    header = f"`{vendor.auth_header}: {vendor.auth_prefix}…`"
    variables = ", ".join(f"`{name}`" for name in vendor.credential_env)
    credential = (
        header + (f" from {variables}" if variables else "") + ("" if vendor.needs_credential else ", optional")
    )
    cells = (
        f"`{vendor.kind}`",
        vendor.title,
        f"`{vendor.base_url}`" if vendor.base_url else "yours",
        credential,
        f"`{vendor.max_output_field}`" if vendor.max_output_field else "as the caller wrote it",
        _usage_in_streams(vendor),
        f"`{vendor.price_provider}`" if vendor.price_provider else "free unless set" if vendor.local else "none",
    )
    return "| " + " | ".join(cells) + " |\n"


def _usage_in_streams(vendor: Vendor) -> str:
    if vendor.wire_formats[0] == "anthropic_messages":
        return "always"
    return "asked" if vendor.include_usage else "not asked"


def _note(vendor: Vendor) -> str:
    operations = {
        "openai_chat": " Chat only.",
        "openai_embeddings": " Embeddings only.",
        "anthropic_messages": " Anthropic's Messages format.",
    }
    only = operations[vendor.wire_formats[0]] if len(vendor.wire_formats) == 1 else ""
    return (":" if only or vendor.notes else "") + only + (f" {vendor.notes}" if vendor.notes else "")


if __name__ == "__main__":
    sys.stdout.write(render())
