import pytest

from headgate.domain.limits import BudgetMode, InvalidLimitError, LimitedKind, Period, RateLimits
from headgate.ledger.limit_book import EACH, LimitBook, named_id
from tests.ledger.tree import ORGANIZATION, budget, limits, scopes


def scope_ids(path: object) -> list[str]:
    return [line.scope_id for line in path.budgets]


BOOK = LimitBook.build(
    [
        limits(LimitedKind.ORGANIZATION, ORGANIZATION, budget("bud_1", 10_000), budget("bud_2", 500, Period.DAY)),
        limits(LimitedKind.TEAM, "team_1", budget("bud_3", 5_000), rates=RateLimits(tpm=100)),
        limits(LimitedKind.TEAM, "team_2", budget("bud_4", 5_000)),
        limits(LimitedKind.KEY, "key_1", rates=RateLimits(rpm=5)),
    ],
    [(ORGANIZATION, "Europe/Berlin")],
)


def test_a_path_holds_the_limits_of_the_keys_scopes_and_of_the_key_outermost_first() -> None:
    path = BOOK.path(scopes(), "key_1")

    assert [line.budget.id for line in path.budgets] == ["bud_1", "bud_2", "bud_3"]
    assert [line.scope_id for line in path.rates] == ["team_1", "key_1"]
    assert path.time_zone == "Europe/Berlin"
    assert path.has_enforced_money


def test_a_path_is_remembered_and_follows_the_scopes_of_its_key() -> None:
    first = BOOK.path(scopes(), "key_1")

    assert BOOK.path(scopes(), "key_1") is first
    assert scope_ids(BOOK.path(scopes(2), "key_1")) == [ORGANIZATION, ORGANIZATION, "team_2"]


def test_a_change_makes_a_new_book_and_leaves_the_old_one_as_it_was() -> None:
    before = BOOK.path(scopes(), "key_1")
    after = BOOK.with_limits(limits(LimitedKind.TEAM, "team_1", budget("bud_3", 7)))

    assert after.path(scopes(), "key_1").budgets[-1].budget.amount_nano_usd == 7
    assert not after.path(scopes(), "key_1").rates[:-1]
    assert BOOK.path(scopes(), "key_1") is before


def test_empty_limits_take_what_hung_there_off() -> None:
    without = BOOK.with_limits(limits(LimitedKind.TEAM, "team_1"))

    assert len(without) == len(BOOK) - 1
    assert without.with_limits(limits(LimitedKind.TEAM, "team_1")) is without


def test_audit_budgets_alone_are_no_enforced_money() -> None:
    book = LimitBook.build([limits(LimitedKind.KEY, "key_1", budget("bud_1", 1, mode=BudgetMode.AUDIT))])

    assert not book.path(scopes(), "key_1").has_enforced_money


def test_an_end_user_has_his_own_limits_or_each_ones_and_his_own_account() -> None:
    book = BOOK.with_limits(
        limits(LimitedKind.END_USER, named_id(ORGANIZATION, EACH), budget("bud_5", 10))
    ).with_limits(limits(LimitedKind.END_USER, named_id(ORGANIZATION, "vip"), budget("bud_6", 1_000)))

    anybody = book.path(scopes(), "key_1", end_user="anna")
    vip = book.path(scopes(), "key_1", end_user="vip")

    assert (anybody.budgets[-1].scope_id, anybody.budgets[-1].budget.id) == ("org_1/anna", "bud_5")
    assert (vip.budgets[-1].scope_id, vip.budgets[-1].budget.id) == ("org_1/vip", "bud_6")
    assert book.path(scopes(), "key_1", end_user="anna") is anybody
    assert len({anybody.name, vip.name, book.path(scopes(), "key_1").name}) == 3


def test_models_and_tags_bind_where_the_organization_says_so() -> None:
    book = BOOK.with_limits(
        limits(LimitedKind.MODEL, named_id(ORGANIZATION, "gpt-4o"), budget("bud_7", 10))
    ).with_limits(limits(LimitedKind.TAG, named_id(ORGANIZATION, "cost-center=7"), budget("bud_8", 10)))

    path = book.path(scopes(), "key_1", model="gpt-4o", tags=[("cost-center", "7"), ("cost-center", "8")])

    assert scope_ids(path)[-2:] == ["org_1/gpt-4o", "org_1/cost-center=7"]
    assert book.path(scopes(), "key_1", model="gpt-5") is book.path(scopes(), "key_1")


def test_nobody_is_everybody() -> None:
    book = BOOK.with_limits(limits(LimitedKind.END_USER, named_id(ORGANIZATION, EACH), budget("bud_5", 10)))

    assert book.path(scopes(), "key_1", end_user=EACH) is book.path(scopes(), "key_1")


def test_a_name_that_has_no_utf_8_gets_one() -> None:
    book = BOOK.with_limits(limits(LimitedKind.END_USER, named_id(ORGANIZATION, EACH), budget("bud_5", 10)))

    assert book.path(scopes(), "key_1", end_user="a\ud800").budgets[-1].scope_id == "org_1/a?"


def test_the_last_named_limit_of_an_organization_taken_off_costs_nothing_any_more() -> None:
    place = named_id(ORGANIZATION, EACH)
    book = BOOK.with_limits(limits(LimitedKind.END_USER, place, budget("bud_5", 10)))
    book = book.with_limits(limits(LimitedKind.END_USER, place))

    assert book.path(scopes(), "key_1", end_user="anna") is book.path(scopes(), "key_1")


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (limits(LimitedKind.KEY, "key_1", budget("bud_1", -1)), "amount_nano_usd"),
        (limits(LimitedKind.KEY, "key_1", rates=RateLimits(tpm=1.5)), "tpm"),
    ],
)
def test_a_book_takes_no_limit_that_cannot_be_kept(bad: object, field: str) -> None:
    with pytest.raises(InvalidLimitError) as refusal:
        BOOK.with_limits(bad)

    assert refusal.value.field == field


def test_a_book_takes_no_zone_that_is_none() -> None:
    with pytest.raises(InvalidLimitError):
        BOOK.with_time_zone(ORGANIZATION, "Mars/Olympus")


def test_a_key_without_limits_has_an_empty_path() -> None:
    path = LimitBook().path(scopes(), "key_9")

    assert (path.budgets, path.rates, path.has_enforced_money) == ((), (), False)


def test_a_book_says_whether_anything_is_limited_at_all() -> None:
    assert LimitBook().is_empty
    assert not BOOK.is_empty
    only = LimitBook().with_limits(limits(LimitedKind.KEY, "key_1", budget("bud_1", 5)))
    assert only.with_limits(limits(LimitedKind.KEY, "key_1")).is_empty
