"""Strict decoding: what is refused, with which words, and naming which field."""

from contextlib import suppress
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from headgate.admin.decoding import (
    check_host,
    decode_body,
    decode_query,
    entity_tag,
    entity_tag_of,
    expected_version,
    is_known,
)
from headgate.admin.endpoint import IfMatch
from headgate.domain.errors import (
    HeadgateError,
    InvalidRequestError,
    PreconditionFailedError,
    PreconditionRequiredError,
    ValidationFailedError,
)


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    level: int


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=5)]
    tags: dict[str, str] = {}
    inner: Inner | None = None
    models: tuple[str, ...] = ()
    note: str | UnsetType | None = UNSET


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    sandbox: bool = False


def test_a_body_is_decoded_into_its_struct():
    assert decode_body(b'{"name":"a","inner":{"level":1},"note":null}', Body) == Body("a", inner=Inner(1), note=None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"name":"a","role":"owner"}', "role"),
        (b'{"name":"a","inner":{"level":1,"deep":2}}', "inner.deep"),
        (b"{}", "name"),
        (b'{"name":"a","inner":{}}', "inner.level"),
        (b'{"name":1}', "name"),
        (b'{"name":"a","inner":{"level":"1"}}', "inner.level"),
        (b'{"name":"a","models":["x",2]}', "models[1]"),
        (b'{"name":"a","tags":{"team":1}}', "tags[...]"),
        (b'{"name":"toolong"}', "name"),
        (b'{"name":"a","inner":{"level":1e400}}', "inner.level"),
        (b"[]", None),
        (b"null", None),
    ],
)
def test_a_wrong_field_is_named(body: bytes, param: str | None):
    with pytest.raises(ValidationFailedError) as caught:
        decode_body(body, Body)
    assert caught.value.param == param
    assert "$" not in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name":"a"} trailing',
        b"\xff\xfe",
        b'{"name":"\xff"}',
        b'{"name":"\\ud800"}',
        b'{"name":"a","name":"b"}',
        b'{"name":"a","inner":{"level":1,"level":2}}',
        b'{"name":"a","tags":{"x":NaN}}',
        b'{"name":"a","tags":' + b"[" * 100_000,
        b'{"name":"a","tags":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
        b'{"name":"a","tags":{"x":' + b"9" * 5000 + b"}}",
    ],
)
def test_what_is_not_plain_json_is_a_bad_request(body: bytes):
    with pytest.raises(InvalidRequestError):
        decode_body(body, Body)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_our_own_errors(body: bytes):
    with suppress(InvalidRequestError, ValidationFailedError):
        decoded = decode_body(body, Body)
        assert decode_body(msgspec.json.encode(decoded), Body) == decoded


def test_query_values_are_read_from_text():
    assert decode_query([("limit", "7"), ("sandbox", "true")], Query) == Query(7, sandbox=True)


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([("limit", "0")], "limit"),
        ([("limit", "201")], "limit"),
        ([("limit", "x")], "limit"),
        ([("order", "name; DROP TABLE")], "order"),
        ([("limit", "1"), ("limit", "2")], "limit"),
    ],
)
def test_a_wrong_query_parameter_is_named(items: list[tuple[str, str]], param: str):
    with pytest.raises(ValidationFailedError) as caught:
        decode_query(items, Query)
    assert caught.value.param == param


def test_an_endpoint_without_parameters_takes_none():
    assert decode_query([], None) is None
    with pytest.raises(ValidationFailedError):
        decode_query([("debug", "1")], None)


@pytest.mark.parametrize("host", ["x", "localhost:4100", "127.0.0.1:80", "[::1]:4100", "[::1]", "a-b.example.com"])
def test_a_plain_host_passes(host: str):
    check_host([host])


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["x/?a#"],
        ["x?"],
        ["x#"],
        ["x y"],
        ["a@b"],
        ["x:port"],
        ["x:"],
        ["[::1"],
        ["a", "a"],
        ["x\x00"],
        ["x:123456"],
    ],
)
def test_any_other_host_is_a_bad_request(hosts: list[str]):
    with pytest.raises(InvalidRequestError):
        check_host(hosts)


@pytest.mark.parametrize(
    ("values", "known"),
    [
        (['"v3"'], True),
        (['W/"v3"'], True),
        (['"v2", "v3"'], True),
        (['"v2"', ' W/"v3"'], True),
        (["*"], True),
        ([], False),
        ([""], False),
        (['"v2"'], False),
        (['"v30"'], False),
        (["v3"], False),
        (['"v3'], False),
        (['"a"v3"b"'], False),
    ],
)
def test_a_tag_is_known_where_it_is_listed(values: list[str], known: bool):
    assert is_known(values, '"v3"') is known


def test_what_has_no_version_is_tagged_by_its_bytes():
    assert entity_tag_of(b"{}") == entity_tag_of(b"{}") != entity_tag_of(b"[]")
    assert is_known([entity_tag_of(b"{}")], entity_tag_of(b"{}"))


def test_an_entity_tag_names_a_version_and_comes_back():
    assert entity_tag(3) == '"v3"'
    assert expected_version(['"v3"'], IfMatch.HONOURED) == 3
    assert expected_version(["*"], IfMatch.REQUIRED) is None
    assert expected_version([], IfMatch.HONOURED) is None
    assert expected_version(["nonsense"], IfMatch.UNUSED) is None


@pytest.mark.parametrize(
    ("values", "policy", "kind"),
    [
        ([], IfMatch.REQUIRED, PreconditionRequiredError),
        (['W/"v3"'], IfMatch.HONOURED, PreconditionFailedError),
        (['"abc"'], IfMatch.HONOURED, PreconditionFailedError),
        (['"v99999999999999999999"'], IfMatch.HONOURED, PreconditionFailedError),
        (["v3"], IfMatch.HONOURED, InvalidRequestError),
        (['"v3", "v4"'], IfMatch.HONOURED, InvalidRequestError),
        (['"v3"', '"v4"'], IfMatch.HONOURED, InvalidRequestError),
        ([""], IfMatch.REQUIRED, InvalidRequestError),
    ],
)
def test_a_precondition_that_cannot_hold_is_an_error(values: list[str], policy: IfMatch, kind: type[HeadgateError]):
    with pytest.raises(kind):
        expected_version(values, policy)
