"""A row of the table, and what it promises of its handler."""

from typing import get_args, get_type_hints

from msgspec import structs

from headgate.admin.endpoint import Call
from headgate.admin.table import ENDPOINTS


def test_every_handler_takes_the_body_and_query_its_row_says():
    for endpoint in ENDPOINTS:
        hints = get_type_hints(endpoint.handler)
        assert structs.fields(Call)[0].name == "site"
        body, query = get_args(hints["call"])
        nothing = type(None)
        assert (body, query) == (endpoint.body or nothing, endpoint.query or nothing), endpoint.name
        if endpoint.response is not None:
            assert hints["return"] == endpoint.response, endpoint.name


def test_a_tag_is_the_collection():
    tags = {endpoint.name: endpoint.tag for endpoint in ENDPOINTS}
    assert (tags["grant_role"], tags["read_openapi"], tags["report_usage"]) == ("users", "openapi.json", "usage")
