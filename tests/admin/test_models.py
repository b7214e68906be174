"""Models: each alias with its price and capabilities, or why it is off."""

from tests.admin.calling import Api


async def test_models_show_price_capabilities_and_why_one_is_off(api: Api):
    first, second = (await api("GET", "/models")).json["data"]
    assert first["id"] == "gpt-4o"
    assert (first["provider"], first["upstream_model"], first["region"]) == ("openai", "gpt-4o", "us")
    assert first["price"]["rates"]["input_per_mtok"] == "2.5"
    assert first["price"]["rates"]["output_per_mtok"] == "10"
    assert first["price"]["rates"]["cache_write_per_mtok"] is None
    assert first["capabilities"]["context_window"] == 128_000
    assert (second["provider"], second["price"]) == (None, None)
    assert "no credential" in second["off"]


async def test_models_show_their_deployments_and_how_each_is_doing(api: Api):
    first, second = (await api("GET", "/models")).json["data"]
    (deployment,) = first["deployments"]
    assert (first["strategy"], first["use"], first["rules"]) == ("priority", None, [])
    assert (deployment["name"], deployment["weight"], deployment["price"]["version"]) == ("openai/gpt-4o", 1, "test 1")
    health = deployment["health"]
    assert (health["state"], health["reason"], health["in_flight"]) == ("closed", None, 0)
    assert (second["deployments"], second["fallbacks"]["error"]) == ([], [])
