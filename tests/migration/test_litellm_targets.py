"""What one deployment becomes: kind, address, credential, price."""

from typing import Any

import pytest

from headgate.migration.finding import Outcome
from tests.migration.reading import migrate, of, params, written

PARAMS = "model_list[0].litellm_params"


def made(text: str, **info: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The provider and the deployment that these params become."""
    document = written(migrate(params(text, **info)))
    (provider,) = document["providers"].values()
    (deployment,) = document["models"][0]["deployments"]
    return provider, deployment


def refusal(text: str, **info: str) -> str:
    migration = migrate(params(text, **info))
    assert written(migration) is None
    (finding,) = migration.findings
    assert (finding.option, finding.outcome) == ("model_list[0]", Outcome.REFUSED)
    return finding.reason


@pytest.mark.parametrize(
    ("text", "kind", "model", "credential"),
    [
        ("model: openai/gpt-4o", "openai", "gpt-4o", "${OPENAI_API_KEY:-}"),
        ("model: gpt-4o", "openai", "gpt-4o", "${OPENAI_API_KEY:-}"),
        ("model: o3-mini", "openai", "o3-mini", "${OPENAI_API_KEY:-}"),
        ("model: claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5", "${ANTHROPIC_API_KEY:-}"),
        ("model: gemini/gemini-2.5-pro", "gemini", "gemini-2.5-pro", "${GEMINI_API_KEY:-}"),
        ("model: groq/openai/gpt-oss-20b", "groq", "openai/gpt-oss-20b", "${GROQ_API_KEY:-}"),
        ("model: together_ai/meta-llama/Llama-3", "together", "meta-llama/Llama-3", "${TOGETHERAI_API_KEY:-}"),
        ("model: huggingface/novita/org/model", "huggingface", "org/model:novita", "${HF_TOKEN:-}"),
        ("model: gpt-4o\napi_key: os.environ/MINE", "openai", "gpt-4o", "${MINE}"),
        ("model: my-model\ncustom_llm_provider: groq", "groq", "my-model", "${GROQ_API_KEY:-}"),
        ("model: groq/x\ncustom_llm_provider: groq", "groq", "x", "${GROQ_API_KEY:-}"),
    ],
)
def test_prefixes_names_and_words_lead_to_kinds(text: str, kind: str, model: str, credential: str) -> None:
    provider, deployment = made(text)
    assert (provider["kind"], deployment["model"], provider["credential"]) == (kind, model, credential)


@pytest.mark.parametrize(
    ("text", "kind", "base_url", "private"),
    [
        ("model: openai/x\napi_base: https://eu.api.openai.com/v1/", "openai", "https://eu.api.openai.com/v1", None),
        ("model: openai/x\napi_base: https://a.example/v1", "openai_compatible", "https://a.example/v1", None),
        ("model: openai/x\napi_base: https://my-openai.com/v1", "openai_compatible", "https://my-openai.com/v1", None),
        ("model: openai/x\napi_base: http://llm:8000/v1", "openai_compatible", "http://llm:8000/v1", True),
        ("model: openai/x\nbase_url: https://10.0.0.7/v1", "openai_compatible", "https://10.0.0.7/v1", True),
        ("model: openai/x\napi_base: os.environ/B", "openai_compatible", "${B}", None),
        ("model: azure/x\napi_base: https://r.openai.azure.com/openai/deployments/x?api-version=1", "azure",
         "https://r.openai.azure.com", None),
        ("model: azure/x", "azure", "${AZURE_API_BASE}", None),
        ("model: ollama/x\napi_base: http://localhost:11434", "ollama", "http://localhost:11434/v1", True),
        ("model: ollama/x\napi_base: os.environ/B", "ollama", "${B}/v1", True),
        ("model: ollama/x", "ollama", None, True),
        ("model: hosted_vllm/x\napi_base: https://gpu.example.com/v1/chat/completions", "vllm",
         "https://gpu.example.com/v1", True),
        ("model: anthropic/x\napi_base: https://api.anthropic.com", "anthropic",
         "https://api.anthropic.com/v1", None),
    ],
)  # fmt: skip
def test_addresses(text: str, kind: str, base_url: str | None, private: bool | None) -> None:
    provider, _ = made(text)
    assert provider["kind"] == kind
    assert (provider.get("base_url"), provider.get("allow_private_network")) == (base_url, private)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: vertex_ai/gemini-2.5-pro", "OAuth"),
        ("model: gemini-2.5-pro", "OAuth"),
        ("model: bedrock/anthropic.claude-3", "Converse"),
        ("model: gemini/x\napi_base: https://user:never-print@proxy.example.com", "another address"),
        ("model: replicate/meta/llama", "no kind of provider"),
        ("model: some-model", "no kind of provider"),
        ("model: os.environ/MODEL", "a variable names the model"),
        ("api_key: os.environ/X", "model is missing"),
        ("model: openai/dall-e-3", "image generation"),
        ("model: whisper-1", "audio transcription"),
        ("model: text-completion-openai/x", "/v1/completions"),
        ("model: anthropic/x\napi_base: https://user:never-print@proxy.example.com", "api_base"),
        ("model: openai/x\napi_base: https://user:never-print@proxy.example.com", "api_base"),
        ("model: gemini/x\napi_base: os.environ/B", "own address"),
        ("model: openai_like/x", "needs an api_base"),
        ("model: openai/gpt-4o\nmock_response: hi", "sandbox"),
        ("model: openai/gpt-4o\nlitellm_credential_name: none-such", "credential_list has no"),
    ],
)
def test_what_cannot_be_had_is_left_out_with_the_reason(text: str, words: str) -> None:
    reason = refusal(text)
    assert words in reason
    assert "never-print" not in reason


def test_modes_whose_endpoint_is_not_built_are_left_out() -> None:
    assert "reranking" in refusal("model: cohere/rerank-v3.5", mode="rerank")
    assert "embeddings of Groq" in refusal("model: groq/x", mode="embedding")


def test_a_literal_key_is_named_by_its_line_and_a_stand_in_is_dropped() -> None:
    migration = migrate(params("model: gpt-4o\napi_key: sk-never-print-this"))
    assert written(migration)["providers"]["openai"]["credential"] == "${OPENAI_KEY_OF_LINE_5}"
    assert migration.variables == ("OPENAI_KEY_OF_LINE_5",)
    assert of(migration, f"{PARAMS}.api_key").outcome is Outcome.APPROXIMATED
    assert "never-print" not in str(migration)
    provider, _ = made("model: hosted_vllm/x\napi_key: none")
    assert "credential" not in provider


def test_bedrock_takes_its_region_and_a_key_of_its_own() -> None:
    provider, deployment = made("model: bedrock/us.openai.gpt-oss-20b-1:0\naws_region_name: eu-west-1")
    assert provider == {"kind": "bedrock", "region": "eu-west-1", "credential": "${AWS_BEARER_TOKEN_BEDROCK:-}"}
    assert deployment["model"] == "us.openai.gpt-oss-20b-1:0"
    provider, _ = made("model: bedrock/openai.gpt-oss-20b-1:0")
    assert provider["region"] == "${AWS_REGION_NAME}"


def test_prices_are_exact_decimals_per_million_tokens() -> None:
    _, deployment = made(
        "model: gpt-4o\ninput_cost_per_token: 2.5e-06\noutput_cost_per_token: 0.00001\n"
        "cache_read_input_token_cost: 1.25E-6\ncache_creation_input_token_cost: .0000031250\n"
        "input_cost_per_token_above_200k_tokens: 5e-6\noutput_cost_per_token_above_200k_tokens: 1.5e-5\n"
        "input_cost_per_token_above_128k_tokens: 4e-6"
    )
    assert deployment["price"] == {
        "input_per_mtok": "2.5",
        "output_per_mtok": "10",
        "cache_write_per_mtok": "3.125",
        "cached_input_per_mtok": "1.25",
        "tiers": [{"above_input_tokens": 200_000, "input_per_mtok": "5", "output_per_mtok": "15"}],
    }


def test_a_price_finer_than_a_nano_usd_is_rounded_up_and_said_to_be() -> None:
    migration = migrate(params("model: gpt-4o\ninput_cost_per_token: 1.0000000000000001e-6\noutput_cost_per_token: 0"))
    price = written(migration)["models"][0]["deployments"][0]["price"]
    assert price == {"input_per_mtok": "1.000000001", "output_per_mtok": "0"}
    assert of(migration, f"{PARAMS}.input_cost_per_token").outcome is Outcome.APPROXIMATED


def test_half_a_price_is_none_and_all_zeros_are_free() -> None:
    migration = migrate(params("model: gpt-4o\ninput_cost_per_token: 1e-6"))
    assert "price" not in written(migration)["models"][0]["deployments"][0]
    assert of(migration, f"{PARAMS}.input_cost_per_token").outcome is Outcome.REFUSED
    _, deployment = made("model: gpt-4o\ninput_cost_per_token: 0\noutput_cost_per_token: 0.0")
    assert deployment["price"] == "free"
    _, deployment = made("model: text-embedding-3-small\ninput_cost_per_token: 2e-8", mode="embedding")
    assert deployment["price"] == {"input_per_mtok": "0.02", "output_per_mtok": "0"}


def test_the_base_model_of_an_azure_deployment_gives_its_price() -> None:
    text = "model: azure/prod\napi_base: https://r.openai.azure.com"
    _, deployment = made(text, base_model="azure/gpt-4o")
    assert deployment["price"] == {"input_per_mtok": "2.5", "output_per_mtok": "10", "cached_input_per_mtok": "1.25"}
    unknown = migrate(params(text, base_model="azure/none-such"))
    assert of(unknown, "model_list[0].model_info.base_model").outcome is Outcome.REFUSED
    assert "unpriced_model" in of(unknown, f"{PARAMS}.model").reason


def test_time_outs_headers_and_regions_go_where_they_belong() -> None:
    provider, deployment = made(
        "model: gpt-4o\ntimeout: 30\nstream_timeout: 5\norganization: org-1\nregion_name: eu\n"
        "extra_headers: {X-Team: os.environ/TEAM}"
    )
    assert provider["timeouts"] == {"total": "30s", "first_event": "5s"}
    assert provider["headers"] == {"OpenAI-Organization": "org-1", "X-Team": "${TEAM}"}
    assert deployment["region"] == "eu"
