"""The sums of what rows posted."""

from headgate.ledger.derivation import Derivation
from headgate.ledger.fold import Fold
from headgate.ledger.outcomes import Reason, State
from headgate.ledger.replay import SavedHold

ACCOUNTS = [(0, number, "key", f"key_{number}", "bud_1", "2026-11", 10_000, True, 0, 9) for number in (1, 2, 3)]
PATHS = [(2, 1, (1, 2), ()), (2, 2, [2, 3], [])]


def end(rid: str, amount: int) -> tuple[object, ...]:
    return (8, rid, 0, amount, 0, "openai", int(State.POSTED), int(Reason.SETTLED), None)


def test_every_kind_of_row_that_posts_is_in_the_sums_as_it_is_in_the_second_opinion() -> None:
    rows = [
        *ACCOUNTS,
        *PATHS,
        (3, "a", 1, 0, 60, 0, 0, None),
        (3, "b", 2, 0, 50, 0, 0, None),
        (7, "a", 0, 20, 0, "openai"),
        (5, "a", 0, 20, 0, 0),
        end("a", 30),
        end("b", 45),
        (9, 0, (1, 3), -5, "the provider's bill"),
    ]
    fold, derivation = Fold(), Derivation()
    fold.take(rows)
    derivation.take(rows)
    assert fold.posted == derivation.posted == {1: 45, 2: 95, 3: 40}


def test_what_was_open_at_a_checkpoint_is_posted_where_it_was_held() -> None:
    hold = SavedHold("old", 0, 0, 60, 0, 0, 0, 0, 0, (1, 2), (), ())
    fold = Fold([hold])
    fold.take([end("old", 7), end("unknown", 9)])
    assert fold.posted == {1: 7, 2: 7}
