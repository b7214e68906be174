import datetime
import importlib.metadata
import subprocess
import sys
from decimal import Decimal
from importlib import resources

import msgspec
import pytest

from headgate.catalog.book import compiled_table
from headgate.catalog.table import check_table

pytest.importorskip("genai_prices")

from genai_prices import types

from headgate.catalog import compile as compiler

TODAY = datetime.date(2026, 11, 23)


def compiled_bytes():
    return resources.files("headgate.catalog").joinpath("data", "catalog.json").read_bytes()


def row_of(prices, *, provider="acme", model="m", variants=None):
    source = types.Provider(id=provider, name=provider, api_pattern="")
    info = types.ModelInfo(id=model, match=types.ClauseEquals(model), prices=prices, price_variants=variants)
    return compiler._row(source, info, TODAY)


def test_the_file_is_what_the_installed_package_compiles_to():
    table = compiled_table()
    if importlib.metadata.version("genai-prices") != table.package_version:
        pytest.skip("another genai-prices is installed than the file was compiled from")
    assert compiler.compile_catalog(datetime.date.fromisoformat(table.as_of)) == compiled_bytes()


def test_the_file_is_good_and_compact():
    check_table(compiled_bytes())
    assert len(compiled_bytes()) < 1_500_000


def test_the_gateway_never_imports_the_package():
    program = (
        "import sys, headgate.catalog.book as b; b.load_price_book().price('openai', 'gpt-4o'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "headgate.catalog.book" in done.stdout.split()
    assert not {"genai_prices", "pydantic"} & set(done.stdout.split())


def test_decimals_become_integers_rounded_up():
    row = row_of(types.ModelPrice(input_mtok=Decimal("0.0000000001"), output_mtok=Decimal("2.5")))
    assert (row.rates.input, row.rates.output) == (1, 2_500_000_000)


def test_tiers_carry_the_untiered_kinds_too():
    tiered = types.TieredPrices(base=Decimal(1), tiers=[types.Tier(start=200_000, price=Decimal(2))])
    row = row_of(types.ModelPrice(input_mtok=tiered, output_mtok=Decimal(5), cache_read_mtok=Decimal("0.5")))
    (tier,) = row.tiers
    assert tier.above_input_tokens == 200_000
    assert (tier.rates.input, tier.rates.output, tier.rates.cached_input) == (2 * 10**9, 5 * 10**9, 10**9 // 2)


def test_a_price_that_changes_by_date_is_the_one_of_the_day():
    def price(usd):
        return types.ModelPrice(input_mtok=Decimal(usd), output_mtok=Decimal(usd))

    prices = [
        types.ConditionalPrice(prices=price(1)),
        types.ConditionalPrice(constraint=types.StartDateConstraint(TODAY), prices=price(2)),
        types.ConditionalPrice(
            constraint=types.StartDateConstraint(TODAY + datetime.timedelta(days=1)), prices=price(3)
        ),
    ]
    assert row_of(prices).rates.input == 2 * 10**9


def test_a_price_that_changes_by_the_hour_is_the_dearest_and_says_so():
    night = types.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1))
    day = types.ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(2))
    hours = types.TimeOfDateConstraint(datetime.time(1, tzinfo=datetime.UTC), datetime.time(4, tzinfo=datetime.UTC))
    row = row_of([types.ConditionalPrice(prices=night), types.ConditionalPrice(constraint=hours, prices=day)])
    assert row.rates.input == 2 * 10**9
    assert "hour" in row.note


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ({}, "no rate is published"),
        ({"audio_hours": Decimal(1)}, "audio_hours"),
        ({"input_mtok": Decimal(1), "output_mtok": Decimal(1), "requests_kcount": Decimal(5)}, "requests_kcount"),
        ({"input_mtok": Decimal(1)}, "no output rate"),
        ({"output_mtok": Decimal(1)}, "no input rate"),
        ({"input_mtok": Decimal(1), "output_mtok": Decimal(1), "input_image_mtok": Decimal(2)}, "input_image_mtok"),
        ({"input_mtok": Decimal(1), "output_mtok": Decimal(1), "output_image_mtok": Decimal(2)}, "output_image_mtok"),
    ],
)
def test_what_integers_per_token_cannot_say_is_unpriced_with_a_reason(prices, reason):
    row = row_of(types.ModelPrice(**prices))
    assert row.rates is None
    assert reason in row.unpriced


def test_a_kind_that_usage_does_not_report_is_billed_as_its_total_where_that_errs_upwards():
    row = row_of(types.ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(1), input_image_mtok=Decimal(1)))
    assert row.rates.input == 2 * 10**9
    assert "input_image_mtok" in row.note


def test_an_embedding_model_needs_no_output_rate():
    assert row_of(types.ModelPrice(input_mtok=Decimal(1)), model="text-embedding-9").rates.output == 0


def test_only_a_router_that_names_models_free_has_free_models():
    assert row_of(types.ModelPrice(), provider="openrouter", model="x:free").rates.input == 0
    assert row_of(types.ModelPrice(), provider="azure", model="x:free").rates is None


def test_charges_beside_tokens_are_named_and_the_tokens_priced():
    row = row_of(types.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), web_searches_kcount=Decimal(10)))
    assert row.rates is not None
    assert row.also_charged == ("web_searches",)


def test_variants_complete_the_standard_price_with_their_own():
    variants = [
        types.PriceVariant(when={"service_tier": "flex"}, prices=types.ModelPrice(input_mtok=Decimal("0.5"))),
        types.PriceVariant(when={"service_tier": "default"}, prices=types.ModelPrice()),
    ]
    row = row_of(types.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(4)), variants=variants)
    (variant,) = row.variants
    assert (variant.rates.input, variant.rates.output) == (10**9 // 2, 4 * 10**9)


def test_every_kind_of_rule_is_carried_over():
    clause = types.ClauseOr(
        [
            types.ClauseEquals("A"),
            types.ClauseAnd([types.ClauseStartsWith("B"), types.ClauseEndsWith("C")]),
            types.ClauseContains("D"),
            types.ClauseRegex("^e+$"),
        ]
    )
    rule = compiler._match(clause)
    for name in ("a", "b-c", "xdx", "eee", "zzz", "b-x"):
        assert rule.matches(name) == clause.is_match(name)


def test_main_writes_the_file(tmp_path, capsys):
    target = tmp_path / "new" / "catalog.json"
    compiler.main(["--as-of", "2026-11-23", "--output", str(target)])
    assert msgspec.json.decode(target.read_bytes())["as_of"] == "2026-11-23"
    assert str(len(target.read_bytes())) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"nobody": {}}, "providers"), ({"openai": {"gpt-none": {}}}, "models")],
)
def test_capabilities_of_what_the_package_does_not_have_are_an_error(tmp_path, monkeypatch, changes, message):
    known = {"max_output_tokens": 1, "input_modalities": [], "output_modalities": []}
    document = {"source": "x", "providers": {name: dict.fromkeys(models, known) for name, models in changes.items()}}
    file = tmp_path / "capabilities.json"
    file.write_bytes(msgspec.json.encode(document))
    monkeypatch.setattr(compiler, "CAPABILITIES", file)
    with pytest.raises(ValueError, match=message):
        compiler.compile_catalog(TODAY)
