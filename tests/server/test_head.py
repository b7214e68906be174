"""What the head of a request says."""

import pytest

from headgate.domain.caching import CacheControl
from headgate.domain.errors import InvalidApiKeyError, InvalidRequestError
from headgate.server.head import CONTRADICTED, Head, find_fields, read_head

BEARER = (b"authorization", b"Bearer hg_one")


def read_head_of(fields: list[tuple[bytes, bytes]]) -> Head:
    return read_head(find_fields(fields))


def test_only_what_is_acted_on_is_found() -> None:
    host = (b"host", b"a")
    assert find_fields([host, (b"x-stainless-os", b"Linux"), BEARER]) == dict([host, BEARER])


def test_a_second_host_is_a_contradiction_even_where_it_is_the_same() -> None:
    fields = [(b"host", b"a"), (b"authorization", b"one"), (b"authorization", b"two"), (b"host", b"a")]
    assert find_fields(fields)[CONTRADICTED] == b"host"


@pytest.mark.parametrize(
    "header",
    [
        BEARER,
        (b"authorization", b"bearer hg_one"),
        (b"x-api-key", b"hg_one"),
        (b"api-key", b"hg_one"),
        (b"x-goog-api-key", b"hg_one"),
        (b"x-headgate-api-key", b"hg_one"),
    ],
)
def test_a_key_may_come_in_each_form(header: tuple[bytes, bytes]) -> None:
    assert read_head_of([header]).presented_key == b"hg_one"


def test_the_same_key_twice_is_one_key() -> None:
    assert read_head_of([BEARER, BEARER, (b"x-api-key", b"hg_one")]).presented_key == b"hg_one"


@pytest.mark.parametrize("second", [(b"authorization", b"Bearer hg_two"), (b"x-api-key", b"hg_two")])
def test_two_keys_that_differ_are_refused(second: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidRequestError):
        read_head_of([BEARER, second])


def test_our_own_header_leaves_the_others_free() -> None:
    head = read_head_of([(b"x-headgate-api-key", b"hg_own"), BEARER, (b"x-api-key", b"theirs")])
    assert head.presented_key == b"hg_own"


def test_our_own_header_leaves_even_a_contradiction_of_the_others_free() -> None:
    head = read_head_of([(b"x-headgate-api-key", b"hg_own"), BEARER, (b"authorization", b"Bearer other")])
    assert head.presented_key == b"hg_own"


def test_an_empty_key_beside_a_good_one_is_none() -> None:
    assert read_head_of([BEARER, (b"x-api-key", b"")]).presented_key == b"hg_one"


def test_no_key_is_no_key() -> None:
    assert read_head_of([(b"host", b"x")]).presented_key is None
    assert read_head_of([(b"authorization", b"Bearer ")]).presented_key is None


def test_another_scheme_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="Bearer KEY"):
        read_head_of([(b"authorization", b"Basic aGVsbG8=")])


def test_a_key_longer_than_any_is_unknown() -> None:
    with pytest.raises(InvalidApiKeyError):
        read_head_of([(b"x-api-key", b"k" * 100_000)])


def test_tags_are_w3c_baggage() -> None:
    head = read_head_of([(b"x-headgate-tags", b"team=search, job=night%20ly;ttl=3")])
    assert head.tags == (("team", "search"), ("job", "night ly"))


@pytest.mark.parametrize("value", [b"team", b"=x", b"a=%0d%0aevil", b"a=" + b"x" * 513, b"n" * 65 + b"=x"])
def test_malformed_tags_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_head_of([(b"x-headgate-tags", value)])


def test_at_most_sixteen_tags() -> None:
    with pytest.raises(InvalidRequestError):
        read_head_of([(b"x-headgate-tags", b",".join(b"t%d=x" % i for i in range(17)))])


def test_the_session_of_a_coding_agent_is_the_session() -> None:
    assert read_head_of([(b"x-claude-code-session-id", b"s1")]).session == "s1"
    own = [(b"x-claude-code-session-id", b"s1"), (b"x-headgate-session", b"s2")]
    assert read_head_of(own).session == "s2"


@pytest.mark.parametrize(("value", "seconds"), [(b"500ms", 0.5), (b"30s", 30), (b"2m", 120), (b"1.5s", 1.5)])
def test_a_timeout_is_a_duration(value: bytes, seconds: float) -> None:
    assert read_head_of([(b"x-headgate-timeout", value)]).timeout_s == seconds


@pytest.mark.parametrize("value", [b"0s", b"-1s", b"5", b"nan", b"1e9s", b"9" * 40 + b"s"])
def test_a_malformed_timeout_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_head_of([(b"x-headgate-timeout", value)])


@pytest.mark.parametrize("value", ["x" * 513, "a\x85b"])
def test_an_end_user_is_printable_and_short(value: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_head_of([(b"x-headgate-user", value.encode())])


@pytest.mark.parametrize("key", [b"a", b'"8e03978e-40d5-43dd-bc93-6894a57f9324"', b"spaces and ~ too", b"k" * 255])
def test_an_idempotency_key_is_taken_as_it_is(key: bytes) -> None:
    head = read_head_of([BEARER, (b"idempotency-key", key)])
    assert (head.idempotency_key, head.presented_key) == (key.decode(), b"hg_one")


@pytest.mark.parametrize("fields", [[BEARER], [BEARER, (b"idempotency-key", b"")]])
def test_no_idempotency_key_is_none(fields: list[tuple[bytes, bytes]]) -> None:
    assert read_head_of(fields).idempotency_key is None


@pytest.mark.parametrize("key", [b"k" * 256, b"caf\xc3\xa9", b"a\tb", b"a\x7f", b"a\n"])
def test_an_idempotency_key_that_is_none_is_refused_by_name(key: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="`idempotency-key`"):
        read_head_of([BEARER, (b"idempotency-key", key)])


def test_two_idempotency_keys_that_differ_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="`idempotency-key` is given twice"):
        read_head_of([BEARER, (b"idempotency-key", b"a"), (b"idempotency-key", b"b")])


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        (b"no-cache", CacheControl(no_cache=True)),
        (b"No-Store, no-transform", CacheControl(no_store=True)),
        (b"only-if-cached", CacheControl(only_if_cached=True)),
        (b"max-age=60, min-fresh=5", CacheControl(max_age_s=60, min_fresh_s=5)),
        (b'max-age="60"', CacheControl(max_age_s=60)),
        (b"max-age=0", CacheControl(max_age_s=0)),
        (b"stale-if-error=30", CacheControl(stale_if_error_s=30)),
        # A number that cannot be read takes the least.
        (b"max-age=soon", CacheControl(max_age_s=0)),
        (b"max-age", CacheControl(max_age_s=0)),
        (b"max-age=-1", CacheControl(max_age_s=0)),
        (b"max-age=99999999999999", CacheControl(max_age_s=2**31)),
        (b"max-age=" + b"9" * 40, CacheControl(max_age_s=0)),
        (b"a-directive-of-tomorrow=1", CacheControl()),
        (b",,", CacheControl()),
    ],
)
def test_what_is_said_of_the_cache_is_read_as_rfc_9111_has_it(value: bytes, asked: CacheControl) -> None:
    assert read_head_of([BEARER, (b"cache-control", value)]).cache_control == asked


def test_directives_in_two_fields_are_one_list() -> None:
    head = read_head_of([BEARER, (b"cache-control", b"no-store"), (b"cache-control", b"only-if-cached")])
    assert head.cache_control == CacheControl(no_store=True, only_if_cached=True)
    assert read_head_of([BEARER]).cache_control is None
