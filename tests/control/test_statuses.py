"""What the ledger says to whoever may ask, and corrections of it."""

import pytest

from headgate.control.budgets import BudgetCreate, create_budget
from headgate.control.rate_limits import RateLimitsCreate, create_rate_limits
from headgate.control.statuses import (
    AdjustmentCreate,
    adjust_key,
    get_budget_status,
    get_key_status,
    verify_ledger,
)
from headgate.domain.access import Role
from headgate.domain.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    ValidationFailedError,
)
from headgate.domain.limits import BudgetMode, Period
from headgate.ledger.outcomes import Ask, Claim, Held


class Tree:
    """An organization, a team and a key with limits."""

    def __init__(self, world, operator) -> None:
        self.world, self.operator = world, operator
        self.acme = world.organization().id
        self.team = world.team(self.acme).id
        self.key = world.key(self.team, tags={"env": "prod"})
        self.month = self.budget(self.acme, "100", Period.MONTH)
        self.total = self.budget(self.team, "50", Period.TOTAL, mode=BudgetMode.AUDIT)
        self.day = self.budget(self.key.id, "10", Period.DAY)
        self.tag = self.budget(self.acme, "9", Period.DAY, tag="env=prod")
        self.each = self.budget(self.acme, "1", Period.DAY, end_user="*")
        rates = RateLimitsCreate(scope_id=self.key.id, rpm=60, tpm=1000, concurrency=4)
        create_rate_limits(world.plane, operator, rates)

    def budget(self, scope_id: str, amount: str, period: Period, **fields) -> str:
        body = BudgetCreate(scope_id=scope_id, amount_usd=amount, period=period, **fields)
        return create_budget(self.world.plane, self.operator, body).id

    def path(self):
        found = self.world.lookup(self.key.secret)
        return self.world.snapshots.current.limits.path(found.path, found.id, tags=found.tags)

    def hold(self, rid: str, nano_usd: int, tokens: int = 0) -> None:
        claim = Claim(rid, self.path(), Ask(nano_usd, tokens, tokens))
        assert isinstance(self.world.threaded.run(self.world.ledger.reserve(claim)), Held)

    def settle(self, rid: str, nano_usd: int) -> None:
        async def settle() -> None:
            self.world.ledger.settle(rid, nano_usd, 0)

        self.world.threaded.run(settle())

    def adjust(self, amount: str, reason: str = "the bill of November", **fields):
        body = AdjustmentCreate(amount_usd=amount, reason=reason)
        return adjust_key(self.world.plane, fields.pop("actor", self.operator), self.key.id, body, **fields)


@pytest.fixture
def tree(world, operator) -> Tree:
    return Tree(world, operator)


def test_a_key_shows_every_account_and_window_of_its_path(world, operator, tree):
    tree.hold("one", 3_000_000_000, tokens=100)
    tree.hold("two", 1_000_000_001)
    tree.settle("one", 2_500_000_000)
    status = get_key_status(world.plane, operator, tree.key.id)
    assert status.key_id == tree.key.id
    assert [(line.budget_id, line.kind) for line in status.budgets] == [
        (tree.month, "organization"),
        (tree.total, "team"),
        (tree.day, "key"),
        (tree.tag, "tag"),
    ]
    month, total, day, _ = status.budgets
    assert (day.scope_id, day.period, day.mode) == (tree.key.id, "day", "enforce")
    assert (day.limit_usd, day.posted_usd, day.held_usd, day.free_usd) == ("10", "2.5", "1.000000001", "6.499999999")
    assert (month.starts_at, month.resets_at) == ("2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z")
    assert (total.mode, total.starts_at, total.resets_at) == ("audit", None, None)
    windows = {window.limit_name: window for window in status.windows}
    assert {name: window.limit for name, window in windows.items()} == {"rpm": 60, "tpm": 1000, "concurrency": 4}
    assert (windows["rpm"].remaining, windows["concurrency"].remaining) == (60, 4)


def test_a_key_without_limits_has_none(world, operator):
    key = world.key(world.organization("bare").id)
    status = get_key_status(world.plane, operator, key.id)
    assert (status.budgets, status.windows) == ((), ())


def test_a_budget_shows_its_account_of_the_present_period(world, operator, tree):
    tree.hold("one", 3_000_000_000)
    for budget, posted in ((tree.day, "3"), (tree.month, "3"), (tree.tag, "3")):
        (account,) = get_budget_status(world.plane, operator, budget).accounts
        assert (account.budget_id, account.held_usd) == (budget, posted)
    assert get_budget_status(world.plane, operator, tree.each).accounts == ()
    world.tick(86_400_000)
    (account,) = get_budget_status(world.plane, operator, tree.day).accounts
    assert (account.held_usd, account.free_usd) == ("0", "10")
    with pytest.raises(NotFoundError):
        get_budget_status(world.plane, operator, "bud_nobody")


def test_a_correction_is_posted_on_every_account_and_audited(world, operator, tree):
    done = tree.adjust("1.25")
    assert (done.key_id, done.amount_usd, done.reason) == (tree.key.id, "1.25", "the bill of November")
    assert [line.posted_usd for line in done.budgets] == ["1.25"] * 4
    back = tree.adjust("-1.25")
    assert [line.posted_usd for line in back.budgets] == ["0"] * 4
    event = world.events(action="key.adjust")[-1]
    assert (event.object_id, event.organization_id) == (tree.key.id, tree.acme)
    assert (event.after["amount_usd"], event.after["reason"]) == ("1.25", "the bill of November")
    assert event.after["accounts"] == [line.account for line in done.budgets]
    assert verify_ledger(world.plane, operator).problems == ()


def test_more_than_was_posted_is_not_taken_back(world, operator, tree):
    tree.adjust("1")
    with pytest.raises(ConflictError) as refused:
        tree.adjust("-1.000000001")
    assert refused.value.param == "amount_usd"
    assert [line.posted_usd for line in get_key_status(world.plane, operator, tree.key.id).budgets] == ["1"] * 4
    (event,) = world.events(action="key.adjust", outcome="failed")
    assert event.organization_id == tree.acme


@pytest.mark.parametrize(
    ("amount", "reason", "param"),
    [("0", "x", "amount_usd"), ("-0.0", "x", "amount_usd"), ("1e3", "x", "amount_usd"), ("1", "a\nb", "reason")],
)
def test_a_correction_that_says_nothing_is_refused_by_name(tree, amount, reason, param):
    with pytest.raises(ValidationFailedError) as refused:
        tree.adjust(amount, reason)
    assert refused.value.param == param


def test_a_key_without_a_budget_has_nothing_to_correct(world, operator):
    key = world.key(world.organization("bare").id)
    with pytest.raises(ConflictError):
        adjust_key(world.plane, operator, key.id, AdjustmentCreate(amount_usd="1", reason="x"))


def test_who_reads_a_key_reads_its_path_and_who_limits_the_organization_corrects(world, operator, tree):
    viewer = world.person(tree.acme, Role.VIEWER, scope_id=tree.team)
    lead = world.person(tree.acme, Role.ADMIN, "lead@example.com", scope_id=tree.team)
    eve = world.person(world.organization("evil").id, Role.OWNER)
    assert len(get_key_status(world.plane, viewer, tree.key.id).budgets) == 4
    for actor in (viewer, lead):
        with pytest.raises(PermissionDeniedError):
            tree.adjust("1", actor=actor)
    for attempt in (
        lambda: tree.adjust("1", actor=eve),
        lambda: get_key_status(world.plane, eve, tree.key.id),
        lambda: get_budget_status(world.plane, eve, tree.day),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    assert len(tree.adjust("1", actor=world.person(tree.acme, Role.OWNER)).budgets) == 4
    with pytest.raises(PreconditionFailedError):
        tree.adjust("1", if_match=7)


def test_the_operator_alone_asks_whether_the_ledger_adds_up(world, operator, tree):
    tree.hold("one", 3_000_000_000)
    tree.adjust("1")
    report = verify_ledger(world.plane, operator)
    assert (report.adds_up, report.problems, report.overrun_usd) == (True, (), "0")
    assert (report.intents, report.open_holds) == (1, 1)
    with pytest.raises(PermissionDeniedError):
        verify_ledger(world.plane, world.person(tree.acme, Role.OWNER))
