"""What is checked before anything is sent, through a whole gateway."""

from typing import Any

import pytest

from tests.pipeline.conftest import Caller


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": 1}]}, "messages[0].role"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"api_base": "http://127.0.0.1"}, "api_base"),
    ],
)
async def test_a_bad_envelope_names_its_field_and_is_recorded(caller: Caller, body: dict[str, Any], param: str) -> None:
    status, headers, answer = await caller.ask("sandbox/echo", **body)
    assert (status, answer["error"]["param"]) == (400, param)
    assert (await caller.record(headers["x-request-id"]))["outcome"] == "refused"


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer x", "Bearer ' OR 1=1--", "Bearer hg_" + "a" * 49])
async def test_every_bad_key_gets_the_same_answer_and_no_record(caller: Caller, key: str) -> None:
    status, headers, answer = await caller.ask("sandbox/echo", headers={"authorization": key})
    assert (status, answer["error"]["code"]) in ((401, "invalid_api_key"), (400, "invalid_request"))
    admin = {"authorization": f"Bearer {caller.local.admin_token}"}
    async with caller.session.get(
        f"{caller.local.admin_url}/admin/v1/requests/{headers['x-request-id']}", headers=admin
    ) as found:
        assert found.status == 404


async def test_a_model_that_the_key_may_not_use_is_403(caller: Caller) -> None:
    admin = {"authorization": f"Bearer {caller.local.admin_token}"}
    async with caller.session.get(f"{caller.local.admin_url}/admin/v1/teams", headers=admin) as answer:
        team = (await answer.json())["data"][0]["id"]
    key = {"scope_id": team, "name": "narrow", "models": ["gpt-*"]}
    async with caller.session.post(f"{caller.local.admin_url}/admin/v1/keys", headers=admin, json=key) as answer:
        secret = (await answer.json())["secret"]
    status, _, refused = await caller.ask("sandbox/echo", headers={"authorization": f"Bearer {secret}"})
    assert (status, refused["error"]["code"]) == (403, "model_not_allowed")
