from headgate.domain.limits import BudgetMode, RateLimits
from headgate.ledger.chart import Chart
from headgate.ledger.outcomes import Ask, RefusalCode
from headgate.ledger.refusals import LONGEST_RETRY_MS, SHORTEST_RETRY_MS, refusal_of_account, why_not
from tests.ledger.tree import Clock, budget, key_path


def test_the_hint_is_how_long_holds_last_within_bounds() -> None:
    account = Chart(lambda row: None).lines(key_path(budget("bud_1", 100)), Clock().wall_ms).accounts[0]
    account.held = 60

    hints = [refusal_of_account(account, 50, typical).retry_after_ms for typical in (-5, 0, 700, 10**9)]

    assert hints == [SHORTEST_RETRY_MS, SHORTEST_RETRY_MS, 700, LONGEST_RETRY_MS]
    assert refusal_of_account(account, 40, 0) is None
    assert refusal_of_account(account, 0, 0) is None


def test_the_severest_of_several_is_told_and_audit_budgets_beside_it() -> None:
    now = Clock()
    lines = Chart(lambda row: None).lines(
        key_path(budget("bud_1", 100), budget("bud_2", 10, mode=BudgetMode.AUDIT), rates=RateLimits(tpd=5)), now.wall_ms
    )
    lines.accounts[0].held = 60

    refusal, audited = why_not(lines, Ask(50, 6, 6), now(), 100)
    assert (refusal.code, [each.limit_name for each in audited]) == (RefusalCode.RATE_LIMIT_EXCEEDED, ["bud_2"])
    refusal, _ = why_not(lines, Ask(50, 5, 5), now(), 100)
    assert refusal.code is RefusalCode.BUDGET_IN_FLIGHT
    refusal, _ = why_not(lines, Ask(500, 6, 6), now(), 100)
    assert refusal.code is RefusalCode.REQUEST_EXCEEDS_BUDGET
    assert why_not(lines, Ask(20, 5, 5), now(), 100)[0] is None
