"""The ``cache`` block and an alias' own."""

from collections.abc import Callable

import pytest
from msgspec import UNSET

from headgate.domain.caching import CachePolicy, CacheSampling, CacheScope
from headgate.settings.model import CacheSettings, Settings

Read = Callable[[str], Settings]
Fail = Callable[[str], str]

PROVIDER = "providers: {sandbox: {kind: sandbox}}"
DEPLOYMENTS = "deployments: [{provider: sandbox, model: echo}]"


def test_without_the_block_nothing_is_kept(read: Read) -> None:
    assert read("").cache is None


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("cache: {}", None),
        ('cache: {exact: "off"}', None),
        ("cache: {exact: {}}", CachePolicy()),
        ("cache: {exact: {ttl: 10m}}", CachePolicy(ttl_s=600)),
        ("cache: {exact: {ttl: 7d}}", CachePolicy(ttl_s=7 * 86_400)),
    ],
)
def test_the_exact_tier_is_on_where_it_is_named(read: Read, text: str, exact: CachePolicy | None) -> None:
    assert read(text).cache == CacheSettings(exact=exact)


def test_every_key_is_read(read: Read) -> None:
    settings = read("""
        cache:
          memory: 8MiB
          disk: 0MiB
          exact:
            {ttl: 2h, scope: project, stale_if_error: 0s, sampling: deterministic_only, max_body: 1MiB,
             tool_calls: true, cut_answers: true, coalesce: false}
        """)
    assert settings.cache == CacheSettings(
        exact=CachePolicy(
            scope=CacheScope.PROJECT,
            ttl_s=7200,
            stale_if_error_s=0,
            sampling=CacheSampling.DETERMINISTIC_ONLY,
            max_body_bytes=1024 * 1024,
            tool_calls=True,
            cut_answers=True,
            coalesce=False,
        ),
        memory=8 * 1024 * 1024,
        disk=0,
    )


def test_an_alias_says_what_differs(read: Read) -> None:
    settings = read(f"""
        {PROVIDER}
        cache: {{exact: {{ttl: 2h, scope: team}}}}
        models:
          - {{alias: common, {DEPLOYMENTS}}}
          - {{alias: short, cache: {{exact: {{ttl: 1m}}}}, {DEPLOYMENTS}}}
          - {{alias: never, cache: {{exact: "off"}}, {DEPLOYMENTS}}}
        """)
    assert [model.cache for model in settings.models] == [UNSET, CachePolicy(scope=CacheScope.TEAM, ttl_s=60), None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cache: {exact: {ttl: 0s}}", "cache.exact.ttl"),
        ("cache: {exact: {ttl: 169h}}", "7d"),
        ("cache: {exact: {ttl: 8d}}", "7d"),
        ("cache: {exact: {stale_if_error: 169h}}", "7d"),
        ("cache: {exact: {scope: everybody}}", "organization"),
        ("cache: {exact: {sampling: maybe}}", "deterministic_only"),
        ("cache: {exact: {max_body: 17MiB}}", "16MiB"),
        ("cache: {exact: on}", "off"),
        ("cache: {exact: {tll: 1h}}", "ttl"),
        ("cache: {semantic: {mode: serve}}", "unknown key"),
        ("cache: {memory: 1KiB}", "1MiB"),
    ],
)
def test_what_is_wrong_is_named(fail: Fail, text: str, said: str) -> None:
    assert said in fail(text)


def test_an_alias_alone_caches_nothing_and_is_told_so(fail: Fail) -> None:
    message = fail(f"""
        {PROVIDER}
        models: [{{alias: short, cache: {{exact: {{ttl: 1m}}}}, {DEPLOYMENTS}}}]
        """)
    assert "models[0].cache" in message
    assert "block `cache`" in message
