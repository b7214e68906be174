"""The second opinion, row by row."""

from headgate.ledger.derivation import Derivation
from headgate.ledger.outcomes import Reason, State

ACCOUNT = (0, 7, "key", "key_1", "bud_1", "2026-11", 100, True, 0, 9)
PATH = (2, 1, (7,), ())
INTENT = (3, "r", 1, 0, 60, 0, 0, None)


def end(amount: int, state: State = State.POSTED, reason: Reason = Reason.SETTLED) -> tuple:
    return (8, "r", 0, amount, 0, "", int(state), int(reason), b"")


def derived(*rows: tuple) -> Derivation:
    derivation = Derivation()
    derivation.take([ACCOUNT, PATH, *rows])
    return derivation


def test_sums_and_holds_follow_the_rows() -> None:
    found = derived(INTENT, (5, "r", 0, 20, 0, 0), (6, "r", 0, 5, 0, 0), (7, "r", 0, 30, 0, "openai"))

    assert (found.posted, found.held) == ({7: 30}, {7: 45})
    assert (found.open["r"].accounts, found.open["r"].held, found.open["r"].posted) == ((7,), 45, 30)
    found.take([end(40), (9, 0, (7,), -10, "invoice")])
    assert (found.posted, found.held, found.open, found.problems) == ({7: 60}, {7: 0}, {}, [])


def test_overruns_and_recovered_ends_are_counted() -> None:
    found = derived(INTENT, (7, "r", 0, 70, 0, "openai"), end(5, reason=Reason.RECOVERED))

    assert (found.overrun, found.recovered, found.ends) == (15, 1, {"posted": 1, "voided": 0})


def test_each_thing_that_cannot_be_is_a_problem() -> None:
    for rows, words in (
        ((INTENT, INTENT), "reserved twice"),
        (((3, "r", 9, 0, 60, 0, 0, None),), "never announced"),
        ((end(1),), "is not open"),
        ((INTENT, end(1), end(1)), "is not open"),
        (((5, "r", 0, 1, 0, 0),), "is not open"),
        (((7, "r", 0, 1, 0, ""),), "is not open"),
        ((INTENT, (6, "r", 0, 61, 0, 0)), "less than nothing"),
        ((INTENT, end(1, State.VOIDED)), "voided with money posted"),
        ((INTENT, (5, "r", 0, 41, 0, 0)), "was admitted on key/key_1/bud_1/2026-11 to 101 of 100"),
    ):
        assert any(words in problem for problem in derived(*rows).problems), (rows, words)


def test_a_limit_that_is_only_counted_is_no_problem() -> None:
    derivation = Derivation()
    derivation.take([(*ACCOUNT[:7], False, 0, 9), PATH, (3, "r", 1, 0, 600, 0, 0, None)])

    assert derivation.problems == []


def test_problems_are_bounded() -> None:
    assert len(derived(*[end(1)] * 1_000).problems) == 100
