"""Vendors that speak Anthropic's Messages format, as rows of data like those of `headgate.providers.compatible`.

The format has one name for the maximum of output tokens and reports usage unasked, so neither needs a quirk. Claude on
Vertex AI is not here: its tokens live an hour and its path holds the model, so a row cannot describe it.
"""

from typing import Final

from headgate.providers.provider import Vendor

_MESSAGES: Final = ("anthropic_messages",)
_VERSION: Final = (("anthropic-version", "2023-06-01"),)

ANTHROPIC_SHAPED: Final[tuple[Vendor, ...]] = (
    Vendor(
        kind="anthropic",
        title="Anthropic",
        source="https://platform.claude.com/docs/en/api/messages",
        base_url="https://api.anthropic.com/v1",
        wire_formats=("anthropic_messages", "anthropic_count_tokens"),
        auth_header="x-api-key",
        auth_prefix="",
        headers=_VERSION,
        include_usage=False,
        credential_env=("ANTHROPIC_API_KEY",),
        price_provider="anthropic",
        notes="Anthropic's Messages format; counts tokens too.",
    ),
    Vendor(
        kind="bedrock_anthropic",
        title="Claude on Amazon Bedrock (Messages API)",
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html",
        base_url="https://bedrock-mantle.{region}.api.aws/anthropic/v1",
        wire_formats=_MESSAGES,
        headers=_VERSION,
        include_usage=False,
        bills_after_disconnect=True,
        price_provider="aws",
        notes="Needs region and a Bedrock API key; models are named anthropic.claude-….",
    ),
    Vendor(
        kind="azure_anthropic",
        title="Claude in Microsoft Foundry",
        source="https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry",
        base_url=None,
        wire_formats=_MESSAGES,
        auth_header="api-key",
        auth_prefix="",
        headers=_VERSION,
        include_usage=False,
        credential_env=("ANTHROPIC_FOUNDRY_API_KEY",),
        price_provider="anthropic",
        notes="base_url is https://RESOURCE.services.ai.azure.com/anthropic/v1; the model is the deployment's name.",
    ),
    Vendor(
        kind="deepseek_anthropic",
        title="DeepSeek (Anthropic-compatible endpoint)",
        source="https://api-docs.deepseek.com/guides/anthropic_api",
        base_url="https://api.deepseek.com/anthropic/v1",
        wire_formats=_MESSAGES,
        auth_header="x-api-key",
        auth_prefix="",
        headers=_VERSION,
        include_usage=False,
        price_provider="deepseek",
        notes="Takes no images and answers an unknown model's name with a model of its own choice.",
    ),
    Vendor(
        kind="moonshot_anthropic",
        title="Moonshot AI Kimi (Anthropic-compatible endpoint)",
        source="https://platform.kimi.ai/docs/api/overview",
        base_url="https://api.moonshot.ai/anthropic/v1",
        wire_formats=_MESSAGES,
        headers=_VERSION,
        include_usage=False,
        price_provider="moonshotai",
    ),
    Vendor(
        kind="zai_anthropic",
        title="Z.ai GLM (Anthropic-compatible endpoint)",
        source="https://docs.z.ai/devpack/tool/claude",
        base_url="https://api.z.ai/api/anthropic/v1",
        wire_formats=_MESSAGES,
        headers=_VERSION,
        include_usage=False,
        price_provider="zai",
    ),
    Vendor(
        kind="minimax_anthropic",
        title="MiniMax (Anthropic-compatible endpoint)",
        source="https://platform.minimax.io/docs/api-reference/text-anthropic-api",
        base_url="https://api.minimax.io/anthropic/v1",
        wire_formats=_MESSAGES,
        headers=_VERSION,
        include_usage=False,
        price_provider="minimax",
    ),
    Vendor(
        kind="anthropic_compatible",
        title="Any other server that speaks Anthropic's Messages format",
        source="https://platform.claude.com/docs/en/api/messages",
        base_url=None,
        wire_formats=_MESSAGES,
        auth_header="x-api-key",
        auth_prefix="",
        headers=_VERSION,
        include_usage=False,
        needs_credential=False,
        notes="base_url ends before /messages, e.g. http://127.0.0.1:8000/v1.",
    ),
)
"""In the order of the reference page."""
