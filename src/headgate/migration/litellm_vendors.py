"""LiteLLM's provider prefixes (``azure/…``, ``ollama/…``) → our kinds of provider, one row each.

Prefixes, and the variables that LiteLLM reads where a deployment gives no ``api_key``, are those of
docs.litellm.ai/docs/providers. A prefix without a row is refused by name.
"""

from typing import Final

from msgspec import Struct

AS_IS: Final = "as it is"
"""LiteLLM appends the same path to ``api_base`` as Headgate does to ``base_url``."""
ORIGIN: Final = "origin"
"""Scheme and host of ``api_base``; the path is the vendor row's own."""
APPEND_V1: Final = "append /v1"
FIXED: Final = "fixed"
"""The vendor's own address only: another one would be of another API."""


class Route(Struct, frozen=True):
    """Where deployments of one prefix go."""

    kind: str | None
    """Our kind of provider; ``None``: refused with ``note``."""
    environ: str | None = None
    """The variable that LiteLLM takes the credential from where the deployment names none."""
    base: str = AS_IS
    note: str = ""
    """What differs, or why it is refused and what to do."""
    markers: tuple[str, ...] = ()
    """Words between prefix and model that choose one of LiteLLM's own code paths."""
    only: tuple[str, ...] = ()
    """Beginnings of the models that the kind's endpoint serves; empty: all."""


_VERTEX: Final = (
    "Vertex AI signs in with OAuth, which is not built yet; the Gemini models are also at Google AI Studio: "
    "gemini/MODEL with GEMINI_API_KEY"
)
_LOCAL_SDK: Final = "it runs the model inside the gateway's process; run it as a server and use hosted_vllm/MODEL"
_COMPLETIONS: Final = "not built yet: /v1/completions; use the model's chat endpoint"
_SIGNED: Final = "its requests are signed in a way that is not built yet"

ROUTES: Final[dict[str, Route]] = {
    "openai": Route("openai", "OPENAI_API_KEY", markers=("responses/", "chat/")),
    "azure": Route("azure", "AZURE_API_KEY", ORIGIN, markers=("responses/", "o_series/", "gpt5_series/")),
    "anthropic": Route("anthropic", "ANTHROPIC_API_KEY", APPEND_V1),
    "bedrock": Route(
        "bedrock",
        "AWS_BEARER_TOKEN_BEDROCK",
        FIXED,
        "Bedrock's OpenAI-compatible endpoint, with a Bedrock API key",
        markers=("converse/", "invoke/", "openai/"),
        only=("openai.",),
    ),
    "gemini": Route("gemini", "GEMINI_API_KEY", FIXED, "Google's OpenAI-compatible endpoint"),
    "vertex_ai": Route(None, note=_VERTEX),
    "vertex_ai_beta": Route(None, note=_VERTEX),
    "ollama": Route("ollama", None, APPEND_V1, "Ollama's OpenAI-compatible endpoint"),
    "ollama_chat": Route("ollama", None, APPEND_V1, "Ollama's OpenAI-compatible endpoint"),
    "hosted_vllm": Route("vllm", "HOSTED_VLLM_API_KEY"),
    "lm_studio": Route("lm_studio", "LM_STUDIO_API_KEY"),
    "llamafile": Route("llama_cpp"),
    "openai_like": Route("openai_compatible"),
    "custom_openai": Route("openai_compatible"),
    "litellm_proxy": Route("openai_compatible", "LITELLM_PROXY_API_KEY"),
    "xinference": Route("openai_compatible", "XINFERENCE_API_KEY"),
    "infinity": Route(None, note="reranking is not built yet; embeddings: openai/MODEL with its api_base"),
    "databricks": Route("databricks", "DATABRICKS_API_KEY"),
    "cloudflare": Route("cloudflare", "CLOUDFLARE_API_KEY", FIXED),
    "deepseek": Route("deepseek", "DEEPSEEK_API_KEY"),
    "mistral": Route("mistral", "MISTRAL_API_KEY"),
    "xai": Route("xai", "XAI_API_KEY"),
    "cohere": Route("cohere", "COHERE_API_KEY", FIXED, "Cohere's compatibility API"),
    "cohere_chat": Route("cohere", "COHERE_API_KEY", FIXED, "Cohere's compatibility API"),
    "moonshot": Route("moonshot", "MOONSHOT_API_KEY"),
    "zai": Route("zai", "ZAI_API_KEY"),
    "dashscope": Route("qwen", "DASHSCOPE_API_KEY"),
    "minimax": Route("minimax", "MINIMAX_API_KEY"),
    "volcengine": Route("volcengine", "VOLCENGINE_API_KEY"),
    "ai21": Route("ai21", "AI21_API_KEY"),
    "ai21_chat": Route("ai21", "AI21_API_KEY"),
    "voyage": Route("voyage", "VOYAGE_API_KEY"),
    "groq": Route("groq", "GROQ_API_KEY"),
    "together_ai": Route("together", "TOGETHERAI_API_KEY"),
    "fireworks_ai": Route("fireworks", "FIREWORKS_AI_API_KEY"),
    "openrouter": Route("openrouter", "OPENROUTER_API_KEY"),
    "cerebras": Route("cerebras", "CEREBRAS_API_KEY"),
    "sambanova": Route("sambanova", "SAMBANOVA_API_KEY"),
    "nvidia_nim": Route("nvidia_nim", "NVIDIA_NIM_API_KEY"),
    "deepinfra": Route("deepinfra", "DEEPINFRA_API_KEY"),
    "novita": Route("novita", "NOVITA_API_KEY"),
    "hyperbolic": Route("hyperbolic", "HYPERBOLIC_API_KEY"),
    "nebius": Route("nebius", "NEBIUS_API_KEY"),
    "baseten": Route("baseten", "BASETEN_API_KEY"),
    "huggingface": Route("huggingface", "HF_TOKEN", FIXED, "Hugging Face's router, which picks the host"),
    "ovhcloud": Route("ovhcloud", "OVHCLOUD_API_KEY"),
    "text-completion-openai": Route(None, note=_COMPLETIONS),
    "azure_text": Route(None, note=_COMPLETIONS),
    "azure_ai": Route(
        None,
        note="use azure/DEPLOYMENT where the resource has Azure's v1 API, or openai/MODEL with its api_base elsewhere",
    ),
    "vllm": Route(None, note=_LOCAL_SDK),
    "petals": Route(None, note=_LOCAL_SDK),
    "sagemaker": Route(None, note=_SIGNED),
    "sagemaker_chat": Route(None, note=_SIGNED),
    "watsonx": Route(None, note=_SIGNED),
    "oci": Route(None, note=_SIGNED),
    "auto_router": Route(None, note="not built yet: routing by what a request says"),
}
"""By the word before the first slash of ``litellm_params.model``, or by ``custom_llm_provider``."""

NAMES: Final[tuple[tuple[str, str], ...]] = (
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("ft:gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-", "openai"),
    ("claude-", "anthropic"),
    ("command", "cohere"),
    ("embed-", "cohere"),
    ("gemini-", "vertex_ai"),
)
"""Beginnings of models that LiteLLM knows without a prefix."""

OTHER_ENDPOINTS: Final[tuple[tuple[str, str], ...]] = (
    ("dall-e", "image generation"),
    ("gpt-image", "image generation"),
    ("imagen", "image generation"),
    ("whisper", "audio transcription"),
    ("gpt-4o-transcribe", "audio transcription"),
    ("gpt-4o-mini-transcribe", "audio transcription"),
    ("tts-", "speech"),
    ("gpt-4o-mini-tts", "speech"),
    ("omni-moderation", "moderations"),
    ("text-moderation", "moderations"),
    ("rerank", "reranking"),
    ("sora", "video generation"),
)
"""Beginnings of models that are served on endpoints which Headgate has not built yet."""

MODES: Final[dict[str, str | None]] = {
    "chat": None,
    "embedding": None,
    "completion": "/v1/completions",
    "responses": "the Responses API",
    "image_generation": "image generation",
    "image_edit": "image generation",
    "audio_transcription": "audio transcription",
    "audio_speech": "speech",
    "moderation": "moderations",
    "rerank": "reranking",
    "realtime": "the Realtime API",
    "batch": "batches",
    "video_generation": "video generation",
    "ocr": "document recognition",
    "search": "search",
}
"""``model_info.mode`` → what of it is not built; ``None``: it is."""

STAND_INS: Final = frozenset(
    ("none", "null", "empty", "fake", "fake-key", "fake_key", "dummy", "dummy-key", "anything", "na", "n/a", "no-key",
     "no-key-required", "not-needed", "not_needed", "ollama", "sk-fake", "sk-dummy", "sk-none", "placeholder")
)  # fmt: skip
"""What people write as ``api_key`` of a server that asks for none."""
