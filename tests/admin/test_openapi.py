"""The OpenAPI document: valid, complete, committed, and true when schemathesis tries it."""

import json
from pathlib import Path
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from headgate.admin import openapi
from headgate.admin.table import ENDPOINTS
from tests.admin.calling import Api

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(openapi.render(ENDPOINTS))


def test_the_committed_copy_is_what_the_table_says():
    assert COMMITTED.read_bytes() == openapi.render(ENDPOINTS), (
        "run: python -m headgate.admin.openapi > docs/reference/openapi.json"
    )


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]):
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_every_reference_leads_somewhere(document: dict[str, Any]):
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            here = [value["$ref"]] if "$ref" in value else []
            return here + [found for each in value.values() for found in references(each)]
        if isinstance(value, list):
            return [found for each in value for found in references(each)]
        return []

    found = set(references(document))
    known = {
        f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in document["components"][kind]
    }
    assert found <= known
    assert known <= found, "a schema that nothing refers to"


def test_operation_ids_are_unique_and_every_tag_is_described(document: dict[str, Any]):
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) == len(ENDPOINTS)
    described = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations for tag in operation["tags"]} == described == set(openapi.TAGS)


def test_secrets_are_only_in_answers_that_make_them(document: dict[str, Any]):
    showing = {
        name
        for name, schema in document["components"]["schemas"].items()
        if {"secret", "digest"} & set(schema.get("properties", {}))
    }
    assert showing == {"KeyCreated", "TokenCreated", "PlannedChange", "DesiredKey"}


async def test_the_document_and_its_page_are_served(api: Api):
    served = await api("GET", "/openapi.json")
    assert served.body == COMMITTED.read_bytes()
    assert served.headers["content-type"] == "application/json"
    assert (await api.as_(None)("GET", "/openapi.json")).status == 401
