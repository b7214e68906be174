import msgspec
import pytest

from headgate.providers.sandbox_schema import smallest_instance


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, ""),
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "integer"}, 0),
        ({"type": "number", "minimum": 1.5}, 1.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["integer", "null"]}, 0),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"anyOf": [{"type": "boolean"}, {"type": "string"}]}, False),
        ({"type": "object"}, {}),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
                "required": ["a"],
            },
            {"a": ""},
        ),
        (
            {
                "type": "object",
                "properties": {"who": {"$ref": "#/$defs/person"}},
                "required": ["who"],
                "$defs": {
                    "person": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
                },
            },
            {"who": {"age": 0}},
        ),
        ({}, None),
        (None, {}),
        ("nonsense", {}),
    ],
)
def test_the_smallest_instance(schema, value):
    assert smallest_instance(schema) == value


def test_a_schema_that_contains_itself_ends():
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    value = smallest_instance(schema)
    depth = 0
    while value is not None:
        value = value["next"]
        depth += 1
    assert 4 < depth < 20


def test_an_integer_is_whole_even_where_its_bound_is_not():
    assert smallest_instance({"type": "integer", "minimum": 1.5}) == 2
    assert smallest_instance({"type": "array", "items": {"type": "null"}, "minItems": 1.9}) == [None]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {name: {"$ref": "#"} for name in "abcdefgh"}, "required": list("abcdefgh")},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 64},
        {"type": "array", "items": {"type": "null"}, "minItems": 10**12},
    ],
)
def test_a_schema_that_demands_a_giant_gets_a_bounded_value(schema):
    assert len(msgspec.json.encode(smallest_instance(schema))) < 1_000_000
