"""The configuration through the API."""

from tests.admin.calling import Api, is_problem
from tests.admin.people import Tenant


async def test_the_operator_sees_it_and_reloads_it(api: Api):
    shown = await api("GET", "/configuration")
    assert shown.status == 200, shown
    assert set(shown.json) == {"revision", "loaded_at", "source", "sha256", "needs_restart", "last_rejected"}
    answer = await api("POST", "/configuration/reload")
    assert answer.status == 200, answer
    assert answer.json["revision"] == shown.json["revision"] + 1
    assert answer.json["providers"] == answer.json["models"] == {"added": [], "changed": [], "removed": []}
    assert (answer.json["settings"], answer.json["organizations"], answer.json["needs_restart"]) == ([], [], [])
    assert (await api("GET", "/configuration")).json["revision"] == answer.json["revision"]


async def test_nobody_else_does(acme: Tenant):
    for person in acme.apis.values():
        is_problem(await person("GET", "/configuration"), 403, "permission_denied")
        is_problem(await person("POST", "/configuration/reload"), 403, "permission_denied")
