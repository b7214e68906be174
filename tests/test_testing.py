"""The gateway that users start in their own tests."""

import aiohttp

from headgate.testing import gateway

ASK = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hello"}]}


async def test_it_answers_and_leaves_nothing_behind() -> None:
    async with gateway() as local, aiohttp.ClientSession(local.url) as session:
        headers = {"authorization": f"Bearer {local.key}"}
        async with session.post("/v1/chat/completions", json=ASK, headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["choices"][0]["message"]["content"] == "hello"
        admin = {"authorization": f"Bearer {local.admin_token}"}
        async with session.get("/admin/v1/me", headers=admin) as answer:
            assert answer.status == 200
        directory = local.data_dir
        assert (directory / "headgate.db").exists()
    assert not directory.exists()


async def test_two_at_once_do_not_meet() -> None:
    async with gateway() as one, gateway() as other, aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {one.key}"}
        async with session.post(other.url + "/v1/chat/completions", json=ASK, headers=headers) as answer:
            assert answer.status == 401
