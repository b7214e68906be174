"""Tests of headgate.domain.caching."""

from headgate.domain.caching import CachePolicy, Caching


def test_an_alias_has_its_own_policy_or_the_common_one() -> None:
    common, own, globbed = CachePolicy(), CachePolicy(ttl_s=5), CachePolicy(ttl_s=9)
    caching = Caching(common, {"own": own, "off": None, "sandbox/*": globbed, "sandbox/echo": None})
    assert [caching.of(alias) for alias in ("other", "own", "off", "sandbox/lorem-5", "sandbox/echo")] == [
        common,
        own,
        None,
        globbed,
        None,
    ]


def test_by_default_nothing_is_cached() -> None:
    assert Caching().of("gpt-4o") is None
