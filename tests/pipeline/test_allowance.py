"""What limits do to a request, through a whole gateway."""

from tests.pipeline.conftest import Caller


async def test_a_request_that_no_limit_binds_knows_nothing_of_them(caller: Caller) -> None:
    status, headers, _ = await caller.ask("sandbox/lorem-5")
    assert status == 200
    assert not [name for name in headers if "ratelimit" in name.lower()]
