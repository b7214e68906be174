"""Options of an entry of ``model_list``, one row each: what a deployment is put together from, and what is left out.

The names are those of LiteLLM's ``litellm_params`` and ``model_info`` (docs.litellm.ai/docs/proxy/configs and
/docs/proxy/custom_pricing, read in October 2026). ``credential_list`` holds values of the same names.
"""

from functools import partial
from typing import Final

from headgate.migration import litellm_routing as route
from headgate.migration import litellm_values as read
from headgate.migration.finding import Handling, absent, not_built, refused, translated

_RATES: Final = absent(
    "a deployment has no such limit here: give the model one in each organization (`headgate limits set --model`)"
)
_BUDGETS: Final = absent(
    "a deployment has no budget of its own here: give the model one in each organization (`headgate budgets create "
    "--model`)"
)
_BY_CONTENT: Final = not_built("routing by what a prompt says", "rules go by tags, end user and length")
_TAGS: Final = not_built("routing by tags", "every key reaches the deployment")
_GUARDRAILS: Final = not_built("guardrails", "neither input nor output is checked")
_ENTRA: Final = not_built("Entra ID", "give the resource's own key as api_key")
_SIGNED: Final = not_built("AWS signatures", "make a Bedrock API key and put it into AWS_BEARER_TOKEN_BEDROCK")
_VERTEX: Final = not_built("Google's OAuth", "use gemini/MODEL with a key of Google AI Studio")
_BODY: Final = absent("Headgate adds nothing to a request: set it where the request is made")
_OTHER_PRICE: Final = refused("prices are per token of input, cached input, cache write, output and audio")
_CATALOGUE: Final = absent("what a model can do and hold comes from the catalogue")
_FOR_PEOPLE: Final = absent("a deployment has no notes of its own; the comment in the file names its line here")
_CODE_PATH: Final = absent("requests go to the chat endpoint as they came")

PRICES: Final[dict[str, Handling]] = {
    "input_cost_per_token": partial(read.put_rate, "input_per_mtok", 0),
    "output_cost_per_token": partial(read.put_rate, "output_per_mtok", 0),
    "cache_read_input_token_cost": partial(read.put_rate, "cached_input_per_mtok", 0),
    "cache_creation_input_token_cost": partial(read.put_rate, "cache_write_per_mtok", 0),
    "input_cost_per_audio_token": partial(read.put_rate, "input_audio_per_mtok", 0),
    "output_cost_per_audio_token": partial(read.put_rate, "output_audio_per_mtok", 0),
    "input_cost_per_token_above_128k_tokens": partial(read.put_rate, "input_per_mtok", 128_000),
    "output_cost_per_token_above_128k_tokens": partial(read.put_rate, "output_per_mtok", 128_000),
    "input_cost_per_token_above_200k_tokens": partial(read.put_rate, "input_per_mtok", 200_000),
    "output_cost_per_token_above_200k_tokens": partial(read.put_rate, "output_per_mtok", 200_000),
    "cache_read_input_token_cost_above_200k_tokens": partial(read.put_rate, "cached_input_per_mtok", 200_000),
    "cache_creation_input_token_cost_above_200k_tokens": partial(read.put_rate, "cache_write_per_mtok", 200_000),
    "input_cost_per_token_above_272k_tokens": partial(read.put_rate, "input_per_mtok", 272_000),
    "output_cost_per_token_above_272k_tokens": partial(read.put_rate, "output_per_mtok", 272_000),
    "cache_read_input_token_cost_above_272k_tokens": partial(read.put_rate, "cached_input_per_mtok", 272_000),
    "cache_creation_input_token_cost_above_1hr": _OTHER_PRICE,
    "input_cost_per_token_flex": _OTHER_PRICE,
    "output_cost_per_token_flex": _OTHER_PRICE,
    "input_cost_per_token_priority": _OTHER_PRICE,
    "output_cost_per_token_priority": _OTHER_PRICE,
    "cache_read_input_token_cost_flex": _OTHER_PRICE,
    "cache_read_input_token_cost_priority": _OTHER_PRICE,
    "input_cost_per_token_batches": _OTHER_PRICE,
    "output_cost_per_token_batches": _OTHER_PRICE,
    "output_cost_per_reasoning_token": _OTHER_PRICE,
    "input_cost_per_second": _OTHER_PRICE,
    "output_cost_per_second": _OTHER_PRICE,
    "input_cost_per_character": _OTHER_PRICE,
    "output_cost_per_character": _OTHER_PRICE,
    "input_cost_per_pixel": _OTHER_PRICE,
    "output_cost_per_pixel": _OTHER_PRICE,
    "input_cost_per_image": _OTHER_PRICE,
    "output_cost_per_image": _OTHER_PRICE,
    "input_cost_per_query": _OTHER_PRICE,
    "input_cost_per_request": _OTHER_PRICE,
    "search_context_cost_per_query": _OTHER_PRICE,
    "tiered_pricing": _OTHER_PRICE,
}
"""Prices stand in ``litellm_params`` or in ``model_info``; the former win."""

PARAMS: Final[dict[str, Handling]] = {
    **PRICES,
    "model": partial(read.put_text, "model"),
    "custom_llm_provider": partial(read.put_text, "vendor"),
    "api_base": partial(read.put_text, "base"),
    "base_url": partial(read.put_text, "base"),
    "api_key": read.credential,
    "api_version": partial(read.put_text, "version"),
    "organization": read.organization,
    "extra_headers": read.put_headers,
    "headers": read.put_headers,
    "region_name": read.put_region,
    "aws_region_name": partial(read.put_text, "region"),
    "timeout": partial(read.put_duration, "total"),
    "stream_timeout": partial(read.put_duration, "first_event"),
    "ttft_timeout": partial(read.put_duration, "first_event"),
    "stream_idle_timeout": partial(read.put_duration, "idle"),
    "litellm_credential_name": partial(read.put_text, "credential_name"),
    # who may be asked how often, and in what order
    "rpm": partial(route.put_count, "rpm"),
    "tpm": partial(route.put_count, "tpm"),
    "itpm": _RATES,
    "otpm": _RATES,
    "max_parallel_requests": _RATES,
    "default_api_key_tpm_limit": _RATES,
    "default_api_key_rpm_limit": _RATES,
    "max_budget": _BUDGETS,
    "budget_duration": _BUDGETS,
    "weight": partial(route.put_number, "weight"),
    "order": partial(route.put_number, "order"),
    "cooldown_time": route.BREAKER,
    "max_retries": route.ATTEMPTS,
    "num_retries": route.ATTEMPTS,
    "tags": _TAGS,
    "tag_regex": _TAGS,
    "guardrails": _GUARDRAILS,
    # how it proves who sends
    "azure_ad_token": _ENTRA,
    "tenant_id": _ENTRA,
    "client_id": _ENTRA,
    "client_secret": _ENTRA,
    "azure_username": _ENTRA,
    "azure_password": _ENTRA,
    "azure_scope": _ENTRA,
    "aws_access_key_id": _SIGNED,
    "aws_secret_access_key": _SIGNED,
    "aws_session_token": _SIGNED,
    "aws_session_name": _SIGNED,
    "aws_profile_name": _SIGNED,
    "aws_role_name": _SIGNED,
    "aws_web_identity_token": _SIGNED,
    "aws_sts_endpoint": _SIGNED,
    "aws_external_id": _SIGNED,
    "aws_bedrock_runtime_endpoint": absent("Bedrock is reached at its public address of the region"),
    "vertex_project": _VERTEX,
    "vertex_location": _VERTEX,
    "vertex_credentials": _VERTEX,
    "configurable_clientside_auth_params": refused("no request chooses where it is sent or whose credential it uses"),
    "ssl_verify": read.ssl_verify,
    # what LiteLLM adds to the body or takes from it
    "drop_params": absent("nothing is dropped in silence: the provider answers what it does not take"),
    "additional_drop_params": absent("nothing is dropped in silence: the provider answers what it does not take"),
    "allowed_openai_params": translated("every parameter of the client's body is passed on"),
    "modify_params": _BODY,
    "temperature": _BODY,
    "top_p": _BODY,
    "top_k": _BODY,
    "n": _BODY,
    "stop": _BODY,
    "seed": _BODY,
    "max_tokens": _BODY,
    "max_completion_tokens": _BODY,
    "presence_penalty": _BODY,
    "frequency_penalty": _BODY,
    "logit_bias": _BODY,
    "logprobs": _BODY,
    "response_format": _BODY,
    "reasoning_effort": _BODY,
    "thinking": _BODY,
    "tools": _BODY,
    "tool_choice": _BODY,
    "parallel_tool_calls": _BODY,
    "user": _BODY,
    "dimensions": _BODY,
    "encoding_format": _BODY,
    "extra_body": _BODY,
    "service_tier": _BODY,
    "safety_settings": _BODY,
    "num_ctx": _BODY,
    "keep_alive": _BODY,
    "cache_control_injection_points": not_built("provider prompt caching", "no cache_control is added"),
    "merge_reasoning_content_in_choices": _BODY,
    "prompt_id": not_built("managed prompts", "the client sends the whole prompt"),
    "prompt_variables": not_built("managed prompts", "the client sends the whole prompt"),
    "mock_response": partial(read.put_text, "mock"),
    # LiteLLM's own ways
    "use_in_pass_through": not_built("pass-through routes", "the route answers 404"),
    "use_litellm_proxy": _CODE_PATH,
    "use_chat_completions_api": translated("requests go to the chat endpoint"),
    "keepalive_seconds": absent("a provider's own pings are passed on"),
    "allow_client_keepalive_override": absent("a provider's own pings are passed on"),
    "max_file_size_mb": not_built("files and batches", "their routes answer 404"),
    "auto_router_config_path": _BY_CONTENT,
    "auto_router_config": _BY_CONTENT,
    "auto_router_default_model": _BY_CONTENT,
    "auto_router_embedding_model": _BY_CONTENT,
    "complexity_router_config": _BY_CONTENT,
    "litellm_trace_id": absent("every request has an id of its own"),
}

INFO: Final[dict[str, Handling]] = {
    **PRICES,
    "mode": partial(read.put_text, "mode"),
    "region": absent("give it as litellm_params.region_name, which becomes the deployment's region"),
    "base_model": partial(read.put_text, "base_model"),
    "access_groups": partial(read.put_names, "groups"),
    "id": absent("a deployment is known by its provider and model"),
    "db_model": absent("models stand in headgate.yaml only"),
    "max_tokens": _CATALOGUE,
    "max_input_tokens": _CATALOGUE,
    "max_output_tokens": _CATALOGUE,
    "output_vector_size": _CATALOGUE,
    "supports_vision": _CATALOGUE,
    "supports_function_calling": _CATALOGUE,
    "supports_parallel_function_calling": _CATALOGUE,
    "supports_tool_choice": _CATALOGUE,
    "supports_response_schema": _CATALOGUE,
    "supports_system_messages": _CATALOGUE,
    "supports_prompt_caching": _CATALOGUE,
    "supports_reasoning": _CATALOGUE,
    "supports_audio_input": _CATALOGUE,
    "supports_audio_output": _CATALOGUE,
    "supports_pdf_input": _CATALOGUE,
    "supports_web_search": _CATALOGUE,
    "supported_openai_params": _CATALOGUE,
    "litellm_provider": absent("the prefix of litellm_params.model says it"),
    "tier": _TAGS,
    "team_id": not_built("models of one team only", "name the model in the keys that may send it"),
    "team_public_model_name": not_built("models of one team only", "name the model in the keys that may send it"),
    "health_check_model": not_built("health checks of deployments", "none is sent"),
    "disable_background_health_check": translated("no health check is sent to a provider"),
    "health_check_timeout": not_built("health checks of deployments", "none is sent"),
    "allowed_fails": route.BREAKER,
    "cooldown_time": route.BREAKER,
    "description": _FOR_PEOPLE,
    "created_at": _FOR_PEOPLE,
    "created_by": _FOR_PEOPLE,
    "updated_at": _FOR_PEOPLE,
    "updated_by": _FOR_PEOPLE,
    "version": _FOR_PEOPLE,
    "metadata": _FOR_PEOPLE,
    "tags": _TAGS,
    "guardrails": _GUARDRAILS,
}
"""``model_info`` takes any further word; those without a row are listed as not known."""
