"""LiteLLM's sections beside ``model_list``, option by option: one row says how an option is handled.

The names are those of docs.litellm.ai/docs/proxy/config_settings (read in October 2026). A feature that is built later
changes the rows that say ``not_built`` today, and nothing else here.
"""

from typing import Final

from headgate.migration import litellm_routing as route
from headgate.migration import litellm_values as read
from headgate.migration.finding import Handling, absent, approximated, not_built, refused, translated

_WHOLE: Final = absent(
    "no budget spans all organizations: give each its own, in the file (organizations[].budgets) or with `headgate "
    "budgets create`"
)
_PEOPLE: Final = absent(
    "a budget here hangs on the person or key that it limits, not on all that will come: give them with `headgate "
    "budgets create`"
)
_EACH_END_USER: Final = absent(
    'give the organization end_users: [{name: "*", budgets: [{amount_usd: "…", period: total}]}], in the file or with '
    "`headgate budgets create --end-user`"
)
_TEAMS: Final = absent("each team says all of its own: see `headgate budgets create` and `headgate limits set`")
_KEPT: Final = translated("budgets are held before a request is sent, and refuse where that cannot be written down")
_PERIODS: Final = translated("a period ends by the calendar: there is no job that resets anything")
_WORKERS: Final = absent(
    "one process answers everything; see server.max_connections, and rate_limits.concurrency of organizations and keys"
)
_AFFINITY: Final = absent("strategy: balanced weighs whether the provider's prompt cache is warm; nothing else sticks")
_FITS: Final = absent(
    "a prompt that does not fit is answered with the provider's error, or by fallbacks.context_length if there are any"
)
_QUEUE: Final = absent("no request waits in a queue by priority")
_FALLBACK_ACCESS: Final = translated("a fallback is asked only where the key may use its name: there is no other way")
_CACHE: Final = absent(
    "nothing is cached before the file says so: `cache: {exact: {ttl: 1h}}` keeps answers within an organization"
)
_GUARDRAILS: Final = not_built("guardrails", "neither input nor output is checked")
_TELEMETRY: Final = not_built(
    "metrics, traces and callbacks", "records stay in Headgate: read them with `headgate usage`"
)
_ALERTS: Final = not_built("alerts", "nobody is told")
_REDIS: Final = not_built("Redis", "one process keeps everything itself")
_SSO: Final = not_built("single sign-on", "people use personal access tokens")
_MCP: Final = absent("Headgate is no MCP gateway: agents reach their tools directly")
_PASS_THROUGH: Final = not_built("pass-through routes", "the route answers 404")
_RESPONSES: Final = not_built("the Responses API", "its routes answer 404")
_FILES: Final = not_built("files and batches", "their routes answer 404")
_PROMPTS: Final = not_built("managed prompts", "the client sends the whole prompt")
_HEALTH: Final = not_built("health checks of deployments", "/healthz and /readyz tell of the gateway itself")
_LOGS: Final = absent("Headgate keeps one record of every request, and no prompt text in it")
_DATABASE: Final = absent("Headgate has a database of its own, an SQLite file: see storage.database")
_BODY: Final = absent("Headgate passes a body on as the client wrote it")
_CODE: Final = refused("no user-supplied code runs in the gateway")
_UI: Final = not_built("the web console", "use the command line or the admin API")
_ROLES: Final = absent("what a key or a person may do follows from roles on scopes: see docs/reference/admin-api.md")
_PROBED: Final = absent("Headgate serves what its configuration names and asks nobody what else there is")
_DEBUG: Final = absent("logs are JSON lines on standard error; see `headgate serve --log-level`")
_SECRETS: Final = not_built("secret managers", "give secrets as ${VARIABLES} or {file: PATH}")

SECTIONS: Final[dict[str, Handling]] = {
    "guardrails": _GUARDRAILS,
    "policies": _GUARDRAILS,
    "policy_attachments": _GUARDRAILS,
    "callback_settings": _TELEMETRY,
    "prompts": _PROMPTS,
    "mcp_servers": _MCP,
    "mcp_tools": _MCP,
    "agent_list": absent("Headgate is no agent gateway"),
    "vector_store_registry": absent("Headgate searches no vector stores: the application does"),
    "search_tools": absent("Headgate searches nothing: the application does"),
    "assistant_settings": absent("OpenAI's Assistants API is not served"),
    "files_settings": _FILES,
    "finetune_settings": absent("fine-tuning is done at the vendor"),
    "worker_registry": absent("each gateway administers itself"),
    "include": refused("other files are not read: import each file by itself, or join them before"),
}
"""Sections that are handled whole."""

OPTIONS: Final[dict[str, Handling]] = {
    "environment_variables.*": refused(
        "values are not copied, they may be secrets: set the variable where `headgate serve` runs"
    ),
    # general_settings
    "general_settings.master_key": read.master_key,
    "general_settings.max_request_size_mb": read.max_body,
    "general_settings.use_x_forwarded_for": read.forwarded,
    "general_settings.mcp_trusted_proxy_ranges": read.trusted_proxies,
    "general_settings.database_url": read.database_url,
    "general_settings.pass_through_request_timeout": _PASS_THROUGH,
    "general_settings.database_connection_pool_limit": _DATABASE,
    "general_settings.database_connection_timeout": _DATABASE,
    "general_settings.database_connection_pool_timeout": _DATABASE,
    "general_settings.database_connect_timeout": _DATABASE,
    "general_settings.database_socket_timeout": _DATABASE,
    "general_settings.database_statement_timeout": _DATABASE,
    "general_settings.database_lock_timeout": _DATABASE,
    "general_settings.database_extra_connection_params": _DATABASE,
    "general_settings.database_disable_prepared_statements": _DATABASE,
    "general_settings.disable_prisma_schema_update": _DATABASE,
    "general_settings.allow_requests_on_db_unavailable": translated("requests never wait for the database"),
    "general_settings.use_redis_transaction_buffer": _REDIS,
    "general_settings.store_model_in_db": absent("models stand in headgate.yaml only"),
    "general_settings.supported_db_objects": absent("models stand in headgate.yaml only"),
    "general_settings.proxy_config_reload_interval_seconds": absent("keys and scopes are in force within a second"),
    "general_settings.proxy_batch_write_at": translated("records are on disk within a second"),
    "general_settings.disable_spend_logs": _LOGS,
    "general_settings.disable_spend_updates": _LOGS,
    "general_settings.disable_error_logs": _LOGS,
    "general_settings.store_prompts_in_spend_logs": _LOGS,
    "general_settings.maximum_spend_logs_retention_period": not_built(
        "retention", "records stay until you delete them"
    ),
    "general_settings.maximum_spend_logs_retention_interval": not_built("retention", "records stay"),
    "general_settings.maximum_spend_logs_cleanup_cron": not_built("retention", "records stay"),
    "general_settings.disable_master_key_return": translated("the admin token is never returned"),
    "general_settings.disable_adding_master_key_hash_to_db": translated("the admin token is in no table"),
    "general_settings.completion_model": absent("the client's `model` decides; add an alias for another name"),
    "general_settings.embedding_model": absent("the client's `model` decides; add an alias for another name"),
    "general_settings.image_generation_model": not_built("image generation", "its routes answer 404"),
    "general_settings.moderation_model": not_built("moderations", "their route answers 404"),
    "general_settings.infer_model_from_keys": absent("the client's `model` decides"),
    "general_settings.max_parallel_requests": _WORKERS,
    "general_settings.global_max_parallel_requests": _WORKERS,
    "general_settings.max_in_flight_requests_per_worker": _WORKERS,
    "general_settings.max_queued_requests_per_worker": _WORKERS,
    "general_settings.admission_queue_timeout_seconds": _WORKERS,
    "general_settings.token_rate_limit_type": absent("limits of tokens count input and output together"),
    "general_settings.disable_retry_on_max_parallel_request_limit_error": route.ATTEMPTS,
    "general_settings.disable_batch_input_file_rate_limiting": _FILES,
    "general_settings.skip_batch_input_file_rate_limiting_for_providers": _FILES,
    "general_settings.max_batch_file_size_mb": _FILES,
    "general_settings.max_file_size_mb": _FILES,
    "general_settings.allowed_file_extensions": _FILES,
    "general_settings.blocked_file_extensions": _FILES,
    "general_settings.proxy_batch_polling_interval": _FILES,
    "general_settings.max_response_size_mb": absent("answers have a bound of their own, and none that can be set"),
    "general_settings.disable_reset_budget": absent("periods end by the calendar; period: total never ends"),
    "general_settings.disable_budget_reservation": absent(
        "what a request may cost is always held; mode: audit refuses nothing"
    ),
    "general_settings.fail_closed_budget_enforcement": _KEPT,
    "general_settings.proxy_budget_rescheduler_min_time": _PERIODS,
    "general_settings.proxy_budget_rescheduler_max_time": _PERIODS,
    "general_settings.enforce_fallback_model_access": _FALLBACK_ACCESS,
    "general_settings.enforce_fallback_budget": _KEPT,
    "general_settings.cancel_on_disconnect": approximated(
        "a stream ends with its client; a whole answer is waited for up to ten seconds more, because it is billed"
    ),
    "general_settings.custom_auth": _CODE,
    "general_settings.custom_auth_run_common_checks": _CODE,
    "general_settings.custom_key_generate": _CODE,
    "general_settings.custom_key_update": _CODE,
    "general_settings.custom_key_policy": _CODE,
    "general_settings.custom_sso": _CODE,
    "general_settings.custom_ui_sso_sign_in_handler": _CODE,
    "general_settings.enable_jwt_auth": _SSO,
    "general_settings.litellm_jwtauth": _SSO,
    "general_settings.enable_oauth2_auth": _SSO,
    "general_settings.enable_oauth2_proxy_auth": _SSO,
    "general_settings.oauth2_config_mappings": _SSO,
    "general_settings.auto_redirect_ui_login_to_sso": _SSO,
    "general_settings.allow_user_auth": _SSO,
    "general_settings.enforce_rbac": _ROLES,
    "general_settings.role_permissions": _ROLES,
    "general_settings.allowed_routes": _ROLES,
    "general_settings.public_routes": _ROLES,
    "general_settings.admin_only_routes": _ROLES,
    "general_settings.service_account_settings": _ROLES,
    "general_settings.allowed_ips": not_built("address allow-lists", "put one in front: a firewall or a proxy"),
    "general_settings.enforce_user_param": not_built("required parameters", "a request without `user` is accepted"),
    "general_settings.enforced_params": not_built("required parameters", "a request without them is accepted"),
    "general_settings.reject_clientside_metadata_tags": absent("tags that a client sends are recorded as its word"),
    "general_settings.missing_session_id": absent("a request without a session is recorded without one"),
    "general_settings.user_header_name": absent("the end user comes from x-headgate-user or the body's `user`"),
    "general_settings.user_header_mappings": absent("the end user comes from x-headgate-user or the body's `user`"),
    "general_settings.litellm_key_header_name": absent(
        "keys come in Authorization, x-api-key, api-key, x-goog-api-key or x-headgate-api-key"
    ),
    "general_settings.allow_client_side_credentials": refused("no request chooses whose credential it uses"),
    "general_settings.forward_client_headers_to_llm_api": refused("a client's header fields stay here"),
    "general_settings.forward_openai_org_id": refused("a client's header fields stay here"),
    "general_settings.forward_llm_provider_auth_headers": refused("a client's header fields stay here"),
    "general_settings.pass_through_endpoints": _PASS_THROUGH,
    "general_settings.use_client_credentials_pass_through_routes": _PASS_THROUGH,
    "general_settings.always_include_stream_usage": absent("the client asks for usage with stream_options"),
    "general_settings.sse_keepalive_ping_interval_seconds": absent("a provider's own pings are passed on"),
    "general_settings.disable_responses_id_security": _RESPONSES,
    "general_settings.allow_unmanaged_response_ids": _RESPONSES,
    "general_settings.background_health_checks": _HEALTH,
    "general_settings.background_health_check_model_groups": _HEALTH,
    "general_settings.health_check_interval": _HEALTH,
    "general_settings.health_check_details": _HEALTH,
    "general_settings.health_check_concurrency": _HEALTH,
    "general_settings.health_check_staleness_threshold": _HEALTH,
    "general_settings.health_check_ignore_transient_errors": _HEALTH,
    "general_settings.health_check_skip_disabled_background_models": _HEALTH,
    "general_settings.enable_health_check_routing": _HEALTH,
    "general_settings.use_shared_health_check": _HEALTH,
    "general_settings.enable_drain_endpoint": absent("SIGTERM drains: see server.drain"),
    "general_settings.drain_endpoint_token": absent("SIGTERM drains: see server.drain"),
    "general_settings.alerting": _ALERTS,
    "general_settings.alerting_threshold": _ALERTS,
    "general_settings.alerting_args": _ALERTS,
    "general_settings.alert_types": _ALERTS,
    "general_settings.alert_type_config": _ALERTS,
    "general_settings.alert_to_webhook_url": _ALERTS,
    "general_settings.spend_report_frequency": _ALERTS,
    "general_settings.ui_access_mode": _UI,
    "general_settings.disable_env_credential_login": _UI,
    "general_settings.max_failed_login_attempts": _UI,
    "general_settings.max_failed_login_attempts_per_source": _UI,
    "general_settings.failed_login_window_seconds": _UI,
    "general_settings.control_plane_url": _UI,
    "general_settings.user_api_key_cache_ttl": translated(
        "keys are in memory, and a revoked one stops within a second"
    ),
    "general_settings.user_api_key_cache_max_size": translated("all keys are in memory"),
    "general_settings.key_management_system": _SECRETS,
    "general_settings.key_management_settings": _SECRETS,
    "general_settings.use_azure_key_vault": _SECRETS,
    "general_settings.use_google_kms": _SECRETS,
    "general_settings.litellm_license": absent("Headgate needs no licence"),
    "general_settings.search_tools": absent("Headgate searches nothing: the application does"),
    "general_settings.disable_auto_add_proxy_admin_to_teams": _ROLES,
    "general_settings.user_mcp_management_mode": _MCP,
    "general_settings.enable_mcp_registry": _MCP,
    "general_settings.mcp_client_side_auth_header_name": _MCP,
    "general_settings.mcp_internal_ip_ranges": _MCP,
    "general_settings.mcp_required_fields": _MCP,
    "general_settings.require_end_user_mcp_access_defined": _MCP,
    "general_settings.require_key_mcp_access_defined": _MCP,
    # litellm_settings
    "litellm_settings.request_timeout": read.total_timeout,
    "litellm_settings.ssl_verify": read.ssl_verify,
    "litellm_settings.telemetry": read.phones_home,
    "litellm_settings.drop_params": absent(
        "nothing is dropped in silence: a parameter that a provider does not take is answered with the provider's error"
    ),
    "litellm_settings.additional_drop_params": absent("nothing is dropped in silence"),
    "litellm_settings.modify_params": _BODY,
    "litellm_settings.add_function_to_prompt": _BODY,
    "litellm_settings.disable_stop_sequence_limit": translated("Headgate does not touch `stop`"),
    "litellm_settings.disable_add_transform_inline_image_block": translated("Headgate does not touch image addresses"),
    "litellm_settings.disable_copilot_system_to_assistant": translated("Headgate does not touch messages"),
    "litellm_settings.overwrite_user_with_key_hash": _BODY,
    "litellm_settings.enable_json_schema_validation": absent("an answer is not held to the schema that was asked for"),
    "litellm_settings.use_chat_completions_url_for_anthropic_messages": not_built(
        "Anthropic's format", "/v1/messages answers 404"
    ),
    "litellm_settings.route_all_chat_openai_to_responses": _RESPONSES,
    "litellm_settings.num_retries": route.ATTEMPTS,
    "litellm_settings.allowed_fails": route.BREAKER,
    "litellm_settings.cooldown_time": route.BREAKER,
    "litellm_settings.fallbacks": route.error_fallbacks,
    "litellm_settings.default_fallbacks": route.default_fallbacks,
    "litellm_settings.context_window_fallbacks": route.context_fallbacks,
    "litellm_settings.content_policy_fallbacks": route.content_fallbacks,
    "litellm_settings.cache": _CACHE,
    "litellm_settings.cache_params": _CACHE,
    "litellm_settings.enable_caching_on_provider_specific_optional_params": _CACHE,
    "litellm_settings.enable_redis_auth_cache": translated("all keys are in memory, none is looked up elsewhere"),
    "litellm_settings.callbacks": _TELEMETRY,
    "litellm_settings.success_callback": _TELEMETRY,
    "litellm_settings.failure_callback": _TELEMETRY,
    "litellm_settings.service_callback": _TELEMETRY,
    "litellm_settings.langfuse_default_tags": _TELEMETRY,
    "litellm_settings.langfuse_enable_update_trace_keys": _TELEMETRY,
    "litellm_settings.default_team_settings": _TELEMETRY,
    "litellm_settings.turn_off_message_logging": translated("no log line and no record holds prompt text"),
    "litellm_settings.redact_user_api_key_info": translated("no key and no digest reaches a log line"),
    "litellm_settings.redact_messages_in_exceptions": translated("no error holds prompt text"),
    "litellm_settings.disable_end_user_cost_tracking": _LOGS,
    "litellm_settings.enable_end_user_cost_tracking_prometheus_only": _TELEMETRY,
    "litellm_settings.custom_prometheus_metadata_labels": _TELEMETRY,
    "litellm_settings.prometheus_metrics_config": _TELEMETRY,
    "litellm_settings.store_audit_logs": translated("every management action is in the audit log"),
    "litellm_settings.set_verbose": _DEBUG,
    "litellm_settings.json_logs": translated("logs are JSON lines"),
    "litellm_settings.request_correlation_in_logs": translated("every line about a request carries its id"),
    "litellm_settings.max_budget": _WHOLE,
    "litellm_settings.budget_duration": _WHOLE,
    "litellm_settings.budget_reset_time": absent("periods begin at midnight in the organization's time_zone"),
    "litellm_settings.max_internal_user_budget": _PEOPLE,
    "litellm_settings.internal_user_budget_duration": _PEOPLE,
    "litellm_settings.default_max_internal_user_budget": _PEOPLE,
    "litellm_settings.max_end_user_budget": _EACH_END_USER,
    "litellm_settings.max_end_user_budget_id": _EACH_END_USER,
    "litellm_settings.max_ui_session_budget": _UI,
    "litellm_settings.default_team_params": _TEAMS,
    "litellm_settings.default_internal_user_params": _SSO,
    "litellm_settings.default_key_generate_params": absent("each key says all of its own"),
    "litellm_settings.upperbound_key_generate_params": absent("who may make a key follows from roles"),
    "litellm_settings.key_generation_settings": _ROLES,
    "litellm_settings.enable_key_alias_format_validation": absent("a key's name is any line of text"),
    "litellm_settings.cost_discount_config": refused(
        "prices.multiplier holds for all of the catalogue's prices; a single vendor's discount needs prices of its own"
    ),
    "litellm_settings.cost_margin_config": refused("records hold what the provider bills, without a margin"),
    "litellm_settings.force_ipv4": absent("the system's resolver decides"),
    "litellm_settings.http2": absent("providers are reached over HTTP/1.1"),
    "litellm_settings.disable_aiohttp_transport": absent("see providers.*.transport"),
    "litellm_settings.return_response_headers": absent("a provider's own limits are not passed on"),
    "litellm_settings.enable_preview_features": _BODY,
    "litellm_settings.check_provider_endpoint": _PROBED,
    "litellm_settings.disable_hf_tokenizer_download": translated("no tokenizer is downloaded"),
    "litellm_settings.skip_system_message_in_guardrail": _GUARDRAILS,
    "litellm_settings.skip_tool_message_in_guardrail": _GUARDRAILS,
    "litellm_settings.require_managed_files": _FILES,
    "litellm_settings.user_url_validation": absent("no address that a client sends is fetched"),
    "litellm_settings.user_url_allowed_hosts": absent("no address that a client sends is fetched"),
    "litellm_settings.mcp_aliases": _MCP,
    "litellm_settings.prompts": _PROMPTS,
    "litellm_settings.global_prompt_directory": _PROMPTS,
    # router_settings
    "router_settings.model_group_alias": route.model_group_alias,
    "router_settings.timeout": read.total_timeout,
    "router_settings.stream_timeout": read.first_event_timeout,
    "router_settings.ttft_timeout": read.first_event_timeout,
    "router_settings.stream_idle_timeout": read.idle_timeout,
    "router_settings.keepalive_seconds": absent("a provider's own pings are passed on"),
    "router_settings.allow_client_keepalive_override": absent("a provider's own pings are passed on"),
    "router_settings.routing_strategy": route.routing_strategy,
    "router_settings.routing_strategy_args": absent(
        "a strategy has no arguments; balance weighs the aims of strategy: balanced"
    ),
    "router_settings.routing_groups": absent(
        "all models get the strategy of routing_strategy: change it where one should differ"
    ),
    "router_settings.num_retries": route.ATTEMPTS,
    "router_settings.max_retries": route.ATTEMPTS,
    "router_settings.retry_after": approximated(
        "a provider's retry-after is heeded; else a pause grows from 100 ms by chance"
    ),
    "router_settings.retry_policy": route.ATTEMPTS,
    "router_settings.model_group_retry_policy": route.ATTEMPTS,
    "router_settings.enable_weighted_failover": translated("after a failure another deployment is always tried"),
    "router_settings.allowed_fails": route.BREAKER,
    "router_settings.allowed_fails_policy": route.BREAKER,
    "router_settings.cooldown_time": route.BREAKER,
    "router_settings.disable_cooldowns": absent(
        "a deployment that fails is always passed over for a while, but never the last one"
    ),
    "router_settings.enable_health_check_routing": _HEALTH,
    "router_settings.background_health_check_model_groups": _HEALTH,
    "router_settings.health_check_staleness_threshold": _HEALTH,
    "router_settings.health_check_ignore_transient_errors": _HEALTH,
    "router_settings.fallbacks": route.error_fallbacks,
    "router_settings.default_fallbacks": route.default_fallbacks,
    "router_settings.context_window_fallbacks": route.context_fallbacks,
    "router_settings.content_policy_fallbacks": route.content_fallbacks,
    "router_settings.max_fallbacks": route.ATTEMPTS,
    "router_settings.enable_pre_call_check": _FITS,
    "router_settings.enable_pre_call_checks": _FITS,
    "router_settings.optional_pre_call_checks": _AFFINITY,
    "router_settings.deployment_affinity_ttl_seconds": _AFFINITY,
    "router_settings.model_group_affinity_config": _AFFINITY,
    "router_settings.enable_tag_filtering": not_built("routing by tags", "every key reaches the same deployment"),
    "router_settings.tag_filtering_match_any": not_built("routing by tags", "every key reaches the same deployment"),
    "router_settings.tag_routing_prefix": not_built("routing by tags", "every key reaches the same deployment"),
    "router_settings.provider_budget_config": absent(
        "a provider has no budget of its own here: see the budgets of models"
    ),
    "router_settings.default_max_parallel_requests": absent(
        "a deployment has no limit of its own here: see the rate limits of models"
    ),
    "router_settings.default_priority": _QUEUE,
    "router_settings.polling_interval": _QUEUE,
    "router_settings.default_litellm_params": _BODY,
    "router_settings.ignore_invalid_deployments": refused("a configuration that cannot work does not start"),
    "router_settings.cache_responses": _CACHE,
    "router_settings.caching_groups": _CACHE,
    "router_settings.cache_kwargs": _CACHE,
    "router_settings.client_ttl": absent("see providers.*.max_connection_age"),
    "router_settings.redis_host": _REDIS,
    "router_settings.redis_port": _REDIS,
    "router_settings.redis_password": _REDIS,
    "router_settings.redis_db": _REDIS,
    "router_settings.redis_url": _REDIS,
    "router_settings.guardrail_list": _GUARDRAILS,
    "router_settings.search_tools": absent("Headgate searches nothing: the application does"),
    "router_settings.alerting_config": _ALERTS,
    "router_settings.assistants_config": absent("OpenAI's Assistants API is not served"),
    "router_settings.set_verbose": _DEBUG,
    "router_settings.debug_level": _DEBUG,
}
"""Options by their path; ``*`` stands for any name."""
