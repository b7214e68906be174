"""Rate limits through the API."""

import pytest

from tests.admin.calling import Api, is_problem
from tests.admin.people import Tenant


async def test_rate_limits_live_and_end(api: Api, acme: Tenant):
    made = await api.make("/rate-limits", {"scope_id": acme.id, "end_user": "*", "rpm": 60, "tpd": 1000})
    path = f"/rate-limits/{made['id']}"
    assert made["id"].startswith("lim_")
    assert (made["scope_id"], made["end_user"], made["rpm"], made["tpm"], made["tpd"]) == (acme.id, "*", 60, None, 1000)
    assert (made["tpm_mode"], made["tpd_mode"]) == ("smooth", "strict")
    assert (await api("PATCH", path, {"rpm": None})).status == 428
    changed = await api("PATCH", path, {"rpm": None, "tpd_mode": "smooth"}, headers={"if-match": '"v1"'})
    assert (changed.json["rpm"], changed.json["tpd"], changed.json["tpd_mode"]) == (None, 1000, "smooth")
    assert (await api("DELETE", path, headers={"if-match": '"v1"'})).status == 412
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).status == 404


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"rpm": -1}, "rpm"),
        ({"tpm": True}, "tpm"),
        ({"tph": "5"}, "tph"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"tpd": 9_000_000_000_000_001}, "tpd"),
        ({"rpm": 1, "tpm_mode": "loose"}, "tpm_mode"),
        ({}, "rpm"),
    ],
    ids=str,
)
async def test_what_cannot_be_is_422_and_named(api: Api, acme: Tenant, fields: dict[str, object], param: str):
    answer = await api("POST", "/rate-limits", {"scope_id": acme.team, **fields})
    assert is_problem(answer, 422, "validation_failed")["param"] == param


async def test_a_thing_has_one_row_of_them_and_lists_show_it(api: Api, acme: Tenant, globex: Tenant):
    made = await api.make("/rate-limits", {"scope_id": acme.team, "rpm": 1})
    await api.make("/rate-limits", {"scope_id": globex.team, "rpm": 1})
    is_problem(await api("POST", "/rate-limits", {"scope_id": acme.team, "tpm": 1}), 409, "conflict")
    assert (await api("GET", f"/rate-limits?scope_id={acme.team}")).json["data"] == [made]
    assert (await acme.apis["viewer"]("GET", "/rate-limits")).json["data"] == [made]


async def test_a_refused_role_is_in_the_audit_log_under_the_resources_name(api: Api, acme: Tenant):
    answer = await acme.apis["viewer"]("POST", "/rate-limits", {"scope_id": acme.team, "rpm": 1})
    is_problem(answer, 403, "permission_denied")
    (event,) = (await api("GET", "/audit?action=rate_limit.create")).json["data"]
    assert (event["outcome"], event["object_kind"]) == ("denied", "rate_limit")
