import stat

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.book import OVERRIDE_FILE, PriceBook, compiled_table, install_override, load_price_book
from headgate.catalog.cost import cost_of
from headgate.catalog.table import InvalidPriceTableError, decode_provider, parse_table
from headgate.domain.catalog import Rates
from headgate.domain.usage import TokenUsage

USD = 1_000_000_000


def table(providers, version="1"):
    document = {"source": "acme", "package_version": version, "as_of": "2026-12-01", "providers": providers}
    return msgspec.json.encode(document)


def models(*rows):
    return {"models": list(rows)}


@pytest.fixture(scope="module")
def book():
    return load_price_book()


def test_a_well_known_model_has_its_published_price(book):
    price = book.price("openai", "gpt-4o")
    assert price.rates == Rates(input=5 * USD // 2, output=10 * USD, cached_input=5 * USD // 4)
    assert price.version.startswith("genai-prices ")


def test_dated_and_oddly_spelled_names_find_the_model(book):
    assert book.price("openai", "GPT-4o-2024-08-06") == book.price("openai", "gpt-4o")
    assert book.price("openai", "gpt-5.2-20251211") == book.price("openai", "gpt-5.2-2025-12-11")


def test_a_provider_falls_back_to_those_whose_models_it_offers(book):
    assert book.price("azure", "claude-sonnet-4-5").rates.input == 3 * USD


def test_long_context_tiers_are_kept(book):
    price = book.price("anthropic", "claude-sonnet-4-5")
    below = cost_of(price, TokenUsage(input_tokens=200_000))
    above = cost_of(price, TokenUsage(input_tokens=200_001))
    assert above > below * 3 // 2


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "whisper-1", "audio_hours"),
        ("openai", "tts-1", "input_mchars"),
        ("openai", "gpt-image-1", "input_image_mtok"),
        ("perplexity", "sonar-pro", "requests_kcount"),
        ("openai", "no-such-model", "no price table has the model"),
        ("no-such-provider", "gpt-4o", "no price table has the model"),
    ],
)
def test_what_has_no_price_says_why(book, provider, model, reason):
    found = book.find(provider, model)
    assert found.price is None
    assert reason in found.reason
    assert book.price(provider, model) is None


def test_capabilities_are_known_where_the_catalogue_knows_them(book):
    known = book.capabilities("openai", "gpt-4o")
    assert (known.context_window, known.max_output_tokens) == (128_000, 16_384)
    assert "image" in known.input_modalities
    assert book.capabilities("openai", "no-such-model").context_window is None


def test_a_service_tier_has_its_own_price_or_none(book):
    standard = book.price("openai", "gpt-5")
    assert book.price("openai", "gpt-5", "auto") == book.price("openai", "gpt-5", "default") == standard
    assert book.price("openai", "gpt-5", "flex").rates.input < standard.rates.input
    assert book.price("openai", "gpt-5", "priority").rates.input > standard.rates.input
    assert book.price("openai", "gpt-5", "made-up") is None
    assert "service_tier" in book.find("openai", "gpt-5", "made-up").reason


def test_no_name_of_a_model_breaks_the_book_or_grows_it(book):
    assert book.price("openai", "a" * 10_000) is None
    for index in range(6000):
        book.price("groq", f"made-up-{index}")
    assert len(book._found) <= 4096


@given(st.text(max_size=300))
def test_any_text_is_a_name_that_is_looked_up_without_error(name):
    found = load_price_book().find("openai", name)
    assert (found.price is None) == (found.reason is not None)


def test_every_row_of_the_compiled_table_has_a_price_or_a_reason():
    compiled = compiled_table()
    rows = [row for name in compiled.providers for row in decode_provider(compiled, name).models]
    assert len(rows) > 2000
    assert all((row.rates is None) != (row.unpriced is None) for row in rows)
    assert sum(row.rates is not None for row in rows) > 0.9 * len(rows)


def test_the_ceiling_is_never_below_any_price(book):
    ceiling = book.ceiling()
    usage = TokenUsage(input_tokens=900_000, cached_input_tokens=1000, cache_write_tokens=1000, output_tokens=5000)
    compiled = compiled_table()
    top = cost_of(ceiling, usage)
    for name in compiled.providers:
        for row in decode_provider(compiled, name).models:
            price = book.price(name, row.id)
            if price is not None:
                assert cost_of(price, usage) <= top


def test_the_override_wins_model_by_model(tmp_path):
    mine = {"id": "gpt-4o", "rates": {"input": 7, "output": 8}}
    install_override(table({"openai": models(mine)}, "9"), tmp_path)
    book = load_price_book(tmp_path)
    assert book.price("openai", "gpt-4o").rates == Rates(input=7, output=8)
    assert book.price("openai", "gpt-4o").version == "acme 9 (2026-12-01)"
    assert book.price("openai", "gpt-4o-mini").version.startswith("genai-prices")
    assert book.version.startswith("acme 9 (2026-12-01), genai-prices ")


def test_an_override_can_take_a_price_away(tmp_path):
    install_override(table({"openai": models({"id": "gpt-4o", "unpriced": "under negotiation"})}), tmp_path)
    found = load_price_book(tmp_path).find("openai", "gpt-4o")
    assert found.price is None
    assert found.reason == "under negotiation"


def test_a_wrong_override_is_not_installed_and_leaves_the_old_one(tmp_path):
    install_override(table({}), tmp_path)
    before = (tmp_path / OVERRIDE_FILE).read_bytes()
    with pytest.raises(InvalidPriceTableError):
        install_override(table({"openai": models({"id": "gpt-4o"})}), tmp_path)
    assert (tmp_path / OVERRIDE_FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [OVERRIDE_FILE]


def test_an_override_that_was_damaged_later_is_an_error_and_not_ignored(tmp_path):
    (tmp_path / OVERRIDE_FILE).write_bytes(b"{")
    with pytest.raises(InvalidPriceTableError):
        load_price_book(tmp_path)


def test_a_directory_without_an_override_is_fine(tmp_path):
    assert load_price_book(tmp_path / "new").price("openai", "gpt-4o") is not None


def test_the_installed_file_is_private(tmp_path):
    install_override(table({}), tmp_path)
    assert stat.S_IMODE((tmp_path / OVERRIDE_FILE).stat().st_mode) == 0o600


def test_the_multiplier_is_exact_and_rounds_up():
    rows = models(
        {
            "id": "m",
            "rates": {"input": 3, "output": 10, "cached_input": 1},
            "tiers": [{"above_input_tokens": 5, "rates": {"input": 100, "output": 7}}],
        }
    )
    price = PriceBook([parse_table(table({"p": rows}))], "1.1").price("p", "m")
    assert price.rates == Rates(input=4, output=11, cached_input=2)
    assert price.tiers[0].rates == Rates(input=110, output=8)
    assert price.version.endswith(" x1.1")


def test_a_multiplier_of_one_changes_nothing(book):
    assert load_price_book(multiplier="1.00").price("openai", "gpt-4o") == book.price("openai", "gpt-4o")


@pytest.mark.parametrize("text", ["", "0", "-1", "abc", "NaN", "Infinity", "1e999999", "1001"])
def test_a_multiplier_that_is_no_sensible_decimal_is_refused(text):
    with pytest.raises(ValueError, match=r"decimal|between"):
        PriceBook([], text)


def test_the_ceiling_of_a_table_without_prices_is_an_error_and_not_zero():
    with pytest.raises(LookupError):
        PriceBook([parse_table(table({}))]).ceiling()


def test_the_ceiling_covers_an_override_that_is_dearer():
    dear = {"id": "m", "rates": {"input": 999 * USD, "output": 1}}
    tables = [parse_table(table({"p": models(dear)})), compiled_table()]
    assert PriceBook(tables, "2").ceiling().rates.input == 2 * 999 * USD
