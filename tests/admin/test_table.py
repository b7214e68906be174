"""The table as a whole: what no single row can promise."""

from headgate.admin.app import check_policy
from headgate.admin.endpoint import ROOT, IfMatch
from headgate.admin.table import ENDPOINTS
from headgate.domain.access import Permission
from headgate.identity.policy import ROUTES


def test_item_09_table_and_policy_say_the_same():
    check_policy(ENDPOINTS, ROUTES)


def test_no_endpoint_is_public_or_infers():
    for endpoint in ENDPOINTS:
        assert endpoint.permission not in (Permission.PUBLIC, Permission.INFER), endpoint.name
        assert endpoint.path.startswith(f"{ROOT}/")


def test_reading_changes_nothing_and_asks_for_no_body():
    for endpoint in ENDPOINTS:
        if endpoint.method in ("GET", "DELETE"):
            assert endpoint.body is None, endpoint.name
        if endpoint.method == "GET":
            assert endpoint.if_match is IfMatch.UNUSED, endpoint.name
            assert not endpoint.permission.value.endswith(":write"), endpoint.name


def test_every_change_of_an_existing_thing_honours_a_precondition():
    for endpoint in ENDPOINTS:
        if "{id}" in endpoint.path and endpoint.method != "GET":
            assert endpoint.if_match is not IfMatch.UNUSED, endpoint.name


def test_every_body_and_query_refuses_unknown_fields():
    for endpoint in ENDPOINTS:
        for shape in (endpoint.body, endpoint.query):
            if shape is not None:
                assert shape.__struct_config__.forbid_unknown_fields, (endpoint.name, shape)
