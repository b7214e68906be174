from headgate.upstream.options import TransportOptions, system_resolve
from headgate.upstream.proxies import Proxy


async def test_the_system_resolver_gives_numeric_addresses_once_each() -> None:
    found = await system_resolve("localhost", 80)
    assert set(found) <= {"127.0.0.1", "::1"}
    assert found
    assert len(set(found)) == len(found)


async def test_a_proxy_s_credentials_stay_out_of_the_repr_of_the_options() -> None:
    assert "c2VjcmV0" not in repr(TransportOptions(proxy=Proxy("proxy.corp", 1, "Basic c2VjcmV0")))
