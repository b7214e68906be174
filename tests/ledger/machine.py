"""A1: random operations on a small organization, with the invariants of accounting.md §1.8 checked after each.

The engine is driven beside a model of its own: what the provider would bill, what explains an account above its limit,
and a picture of everything before each refusal. Long runs: ``python -m bench.ledger_proof``.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headgate.domain.limits import BudgetMode, LimitedKind, Period, RateLimits, WindowMode
from headgate.ledger.derivation import Derivation
from headgate.ledger.engine import Engine
from headgate.ledger.fold import Fold
from headgate.ledger.limit_book import LimitBook, LimitPath
from headgate.ledger.outcomes import Ask, Claim, Held, Refusal
from headgate.ledger.periods import FOREVER_MS
from headgate.ledger.replay import Checkpoint, Replay, SavedAccount, SavedHold, SavedWindow, take_checkpoint
from headgate.ledger.rows import END, INTENT
from tests.ledger.tree import NOVEMBER_24_MS, ORGANIZATION, Clock, balances, budget, limits, picture, scopes

TEAMS = (1, 2)
KEYS = ("key_1", "key_2", "key_3")
TEAM_OF = {"key_1": 1, "key_2": 1, "key_3": 2}
RIDS = tuple(f"r{number}" for number in range(12))
AMOUNTS = st.integers(0, 60)
TOKENS = st.integers(0, 50)


class LedgerMachine(RuleBasedStateMachine):
    """Everything a gateway may do to an engine, in any order."""

    @initialize(
        amounts=st.lists(st.integers(0, 150), min_size=6, max_size=6),
        period=st.sampled_from((Period.HOUR, Period.DAY, Period.MONTH, Period.TOTAL)),
        tokens=st.integers(0, 120),
        smooth=st.booleans(),
        audit=st.booleans(),
    )
    def begin(self, amounts: list[int], period: Period, tokens: int, smooth: bool, audit: bool) -> None:
        self.clock = Clock(NOVEMBER_24_MS)
        self.period = period
        self.versions = 1
        self.rows: list[tuple] = []
        self.engine = Engine(self.rows.append)
        mode = WindowMode.SMOOTH if smooth else WindowMode.STRICT
        self.book = LimitBook.build(
            [
                limits(LimitedKind.ORGANIZATION, ORGANIZATION, budget("bud_o", amounts[0], period)),
                limits(
                    LimitedKind.TEAM,
                    "team_1",
                    budget("bud_t1", amounts[1], period),
                    rates=RateLimits(tpm=tokens, tpm_mode=mode),
                ),
                limits(LimitedKind.TEAM, "team_2", budget("bud_t2", amounts[2], period)),
                limits(LimitedKind.KEY, "key_1", budget("bud_k1", amounts[3], period), rates=RateLimits(tph=tokens)),
                limits(
                    LimitedKind.KEY,
                    "key_2",
                    budget("bud_k2", amounts[4], period, BudgetMode.AUDIT if audit else BudgetMode.ENFORCE),
                ),
                limits(LimitedKind.KEY, "key_3", budget("bud_k3", amounts[5], period)),
            ]
        )
        self.claims: dict[str, Claim] = {}
        self.meter = 0
        """What the provider would bill, all in all."""
        self.adjusted = 0
        self.excused: set[str] = set()
        """Accounts that are above their limit for a reason that is none of the admissions: lowered, overrun, billed."""
        self.fired: set[tuple[str, int]] = set()
        self.store = Store()
        self.jumped = False
        self.tail = 0
        """Where the rows after the last checkpoint begin."""

    def path(self, key: str) -> LimitPath:
        return self.book.path(scopes(TEAM_OF[key]), key)

    def names_of(self, rid: str) -> list[str]:
        return [account.name for account in self.engine.open[rid].accounts]

    def note_thresholds(self, thresholds: tuple) -> None:
        for each in thresholds:
            assert (each.account, each.percent) not in self.fired, "a threshold was told twice"
            self.fired.add((each.account, each.percent))

    def hold(self, outcome: Held | Refusal, rid: str, before: object, rows: int, ask: Ask) -> None:
        """Compare what happened with what may happen, after a reserve or an extend."""
        if isinstance(outcome, Refusal):
            assert picture(self.engine, self.clock()) == before, "I6: a refusal changed something"
            assert [row for row in self.rows[rows:] if row[0] >= INTENT] == [], "I6: a refusal was written down"
            return
        for account in self.engine.open[rid].accounts:
            if account.enforced and ask.nano_usd:
                assert account.posted + account.held <= account.limit, "I1: admitted above the limit"
        for ring in self.engine.open[rid].rings:
            assert ring.total + ring.debt <= ring.limit, "I7: admitted above the window"

    # --- What a gateway does ---------------------------------------------------------------------------------------

    @rule(rid=st.sampled_from(RIDS), key=st.sampled_from(KEYS), amount=AMOUNTS, tokens=TOKENS, share=st.floats(0, 1))
    def reserve(self, rid: str, key: str, amount: int, tokens: int, share: float) -> None:
        if rid in self.engine.ended:
            return
        path = self.path(key)
        self.engine.account_names(path, self.clock())
        # Paths are resolved before the picture is taken, so that accounts that begin are not taken for a change.
        before, rows = picture(self.engine, self.clock()), len(self.rows)
        was_open = rid in self.engine.open
        ask = Ask(amount, tokens, round(tokens * share))
        outcome = self.engine.reserve(Claim(rid, path, ask), self.clock())
        if was_open:
            assert isinstance(outcome, Held)
            assert outcome.again
            assert picture(self.engine, self.clock()) == before, "I5: reserving twice changed something"
            return
        self.hold(outcome, rid, before, rows, ask)

    def some_open(self, pick: int) -> str:
        return list(self.engine.open)[pick % len(self.engine.open)]

    @precondition(lambda self: self.engine.open)
    @rule(pick=st.integers(0, 11))
    def dispatch(self, pick: int) -> None:
        self.engine.dispatched(self.some_open(pick))

    @precondition(lambda self: self.engine.open)
    @rule(pick=st.integers(0, 11), amount=AMOUNTS, tokens=TOKENS)
    def extend(self, pick: int, amount: int, tokens: int) -> None:
        rid = self.some_open(pick)
        before, rows, ask = picture(self.engine, self.clock()), len(self.rows), Ask(amount, tokens, tokens)
        self.hold(self.engine.extend(rid, ask, self.clock()), rid, before, rows, ask)

    @precondition(lambda self: self.engine.open)
    @rule(pick=st.integers(0, 11), amount=AMOUNTS, tokens=TOKENS)
    def release(self, pick: int, amount: int, tokens: int) -> None:
        rid = self.some_open(pick)
        before = self.engine.open[rid].held
        left = self.engine.release_part(rid, Ask(amount, tokens, tokens), self.clock())
        assert left == before - min(before, amount)

    @precondition(lambda self: self.engine.open)
    @rule(pick=st.integers(0, 11), amount=AMOUNTS, tokens=TOKENS)
    def part(self, pick: int, amount: int, tokens: int) -> None:
        rid = self.some_open(pick)
        if amount > self.engine.open[rid].held:
            self.excused.update(self.names_of(rid))
        self.note_thresholds(self.engine.post_part(rid, amount, tokens, "openai", self.clock()))
        self.meter += amount

    @precondition(lambda self: self.engine.open)
    @rule(pick=st.integers(0, 11), amount=AMOUNTS, tokens=st.none() | TOKENS, within=st.booleans())
    def settle(self, pick: int, amount: int, tokens: int | None, within: bool) -> None:
        rid = self.some_open(pick)
        reservation = self.engine.open[rid]
        if within:
            amount = min(amount, reservation.held)
            tokens = tokens and min(tokens, reservation.tokens)
        if amount > reservation.held:
            self.excused.update(self.names_of(rid))
        before, posted = reservation.held, reservation.posted
        settlement = self.engine.settle(rid, amount, tokens, self.clock())
        self.note_thresholds(settlement.thresholds)
        self.meter += amount
        assert settlement.posted_nano_usd == posted + amount
        assert settlement.overrun_nano_usd >= max(0, amount - before)

    @precondition(lambda self: self.engine.open)
    @rule(pick=st.integers(0, 11))
    def void(self, pick: int) -> None:
        self.note_thresholds(self.engine.void(self.some_open(pick), self.clock()).thresholds)

    @precondition(lambda self: self.engine.ended)
    @rule(pick=st.integers(0, 11), amount=AMOUNTS, voids=st.booleans())
    def end_again(self, pick: int, amount: int, voids: bool) -> None:
        rid = list(self.engine.ended)[pick % len(self.engine.ended)]
        before, rows = picture(self.engine, self.clock()), len(self.rows)
        first = self.engine.ended[rid]
        second = self.engine.void(rid, self.clock()) if voids else self.engine.settle(rid, amount, 0, self.clock())
        assert second.again
        assert (second.state, second.posted_nano_usd) == (first.state, first.posted_nano_usd)
        assert (picture(self.engine, self.clock()), len(self.rows)) == (before, rows), "I5: ending twice is once"

    @precondition(lambda self: self.engine.chart.accounts)
    @rule(key=st.sampled_from(KEYS), delta=st.integers(-40, 40))
    def adjust(self, key: str, delta: int) -> None:
        names = self.engine.account_names(self.path(key), self.clock())
        accounts = [self.engine.chart.accounts[name] for name in names]
        if any(account.posted + delta < 0 for account in accounts):
            return
        if delta > 0:
            self.excused.update(names)
        self.note_thresholds(self.engine.adjust(names, delta, "bill", self.clock()))
        self.adjusted += delta

    @rule(prune=st.booleans())
    def checkpoint(self, prune: bool) -> None:
        saved = take_checkpoint(self.engine, self.clock(), prune=prune)
        self.store.take(saved)
        self.tail = len(self.rows)

    # --- What happens around it ------------------------------------------------------------------------------------

    @rule(place=st.sampled_from(("org", "team", "key")), amount=st.integers(0, 150))
    def change_a_limit(self, place: str, amount: int) -> None:
        self.versions += 1
        kind, scope, name = {
            "org": (LimitedKind.ORGANIZATION, ORGANIZATION, "bud_o"),
            "team": (LimitedKind.TEAM, "team_2", "bud_t2"),
            "key": (LimitedKind.KEY, "key_3", "bud_k3"),
        }[place]
        self.book = self.book.with_limits(limits(kind, scope, budget(name, amount, self.period, version=self.versions)))
        self.excused.update(n for n in self.engine.chart.accounts if f"/{name}/" in n)

    @rule(ms=st.sampled_from((1, 400, 1_000, 20_000, 61_000, 3_600_000, 24 * 3_600_000, 9 * 24 * 3_600_000)))
    def time_passes(self, ms: int) -> None:
        self.clock.pass_ms(ms)

    @rule(ms=st.sampled_from((-3_600_000, 3_600_000, -1_000)))
    def the_wall_clock_jumps(self, ms: int) -> None:
        self.clock.jump(ms)
        self.jumped = True

    # --- What always holds -----------------------------------------------------------------------------------------

    @invariant()
    def i1_nothing_is_negative_and_nothing_is_above_its_limit(self) -> None:
        for account in self.engine.chart.accounts.values():
            assert account.posted >= 0
            assert account.held >= 0
            if account.enforced and account.name not in self.excused:
                assert account.posted + account.held <= account.limit, account.name

    @invariant()
    def i2_a_parent_has_what_its_children_have(self) -> None:
        sums: dict[tuple[str, str], list[int]] = {}
        for account in self.engine.chart.accounts.values():
            level = account.key.kind.value
            pair = sums.setdefault((level, account.key.period_id), [0, 0])
            pair[0] += account.posted
            pair[1] += account.held
        for (level, period), (posted, held) in sums.items():
            if level != "organization":
                above = sums[("organization" if level == "team" else "team", period)]
                assert above[0] >= posted
                assert above[1] >= held

    @invariant()
    def i3_i4_the_rows_say_the_same(self) -> None:
        derivation = Derivation()
        derivation.take(self.rows)
        said = {
            name: (derivation.posted.get(number, 0), derivation.held.get(number, 0))
            for number, (name, _, _) in derivation.limits.items()
        }
        fold = Fold()
        fold.take(self.rows)
        assert without_nothing(fold.posted) == without_nothing(derivation.posted), "I3: two sums of the same rows"
        there = balances(self.engine)
        assert {name: pair for name, pair in said.items() if name in there} == there
        assert not any(held for name, (_, held) in said.items() if name not in there)
        # Limits move while holds are open, so only what an engine can never do is a problem here.
        assert not [problem for problem in derivation.problems if "was admitted" not in problem]
        ends = [row[1] for row in self.rows if row[0] == END]
        assert len(ends) == len(set(ends)), "I4: two ends of one reservation"
        assert derivation.open.keys() == self.engine.open.keys()

    @invariant()
    def i7_a_window_counts_no_more_than_its_limit_and_owes_the_rest(self) -> None:
        """That no interval admits more is `test_windows.py`'s, against a log of its own."""
        for ring in self.engine.chart.windows.values():
            assert 0 <= ring.total <= ring.limit
            assert ring.debt >= 0

    @invariant()
    def i8_what_was_posted_is_what_the_provider_bills(self) -> None:
        posted = sum(a.posted for a in self.engine.chart.accounts.values() if a.key.kind is LimitedKind.ORGANIZATION)
        assert posted + self.store.closed_at(LimitedKind.ORGANIZATION) == self.meter + self.adjusted

    def teardown(self) -> None:
        """I9: every prefix of the rows makes an engine in which the same holds."""
        if not hasattr(self, "rows"):
            return
        tail = self.rows[self.tail :]
        for end in range(0, len(tail) + 1, max(1, len(tail) // 7)):
            recovered = self.store.engine(tail[:end], self.clock)
            assert all(account.posted >= 0 and account.held >= 0 for account in recovered.chart.accounts.values())
            for rid in list(recovered.open):
                recovered.settle(rid, recovered.open[rid].held, 0, self.clock())
            assert not any(account.held for account in recovered.chart.accounts.values())
        whole = self.store.engine(tail, self.clock)
        assert balances(whole) == balances(self.engine)
        assert {rid: held.held for rid, held in whole.open.items()} == {
            rid: held.held for rid, held in self.engine.open.items()
        }
        assert {n: a.fired for n, a in whole.chart.accounts.items()} == {
            n: a.fired for n, a in self.engine.chart.accounts.items()
        }
        now = self.clock()
        for name, ring in self.engine.chart.windows.items():
            # Where the wall clock jumped, a bucket may seem younger than it is, never older than a width.
            assert whole.chart.windows[name].total + whole.chart.windows[name].debt >= 0
            if not self.jumped:
                assert whole.chart.windows[name].remaining(now.mono_ms) == ring.remaining(now.mono_ms)


def without_nothing(sums: dict[int, int]) -> dict[int, int]:
    return {number: amount for number, amount in sums.items() if amount}


class Store:
    """What a journal keeps of checkpoints."""

    def __init__(self) -> None:
        self.accounts: dict[int, SavedAccount] = {}
        self.closed: dict[int, SavedAccount] = {}
        self.windows: dict[int, SavedWindow] = {}
        self.holds: tuple[SavedHold, ...] = ()
        self.next_number = 1
        self.horizon_ms = -FOREVER_MS

    def take(self, saved: Checkpoint) -> None:
        self.accounts.update({account.row[1]: account for account in saved.accounts})
        self.windows.update({window.number: window for window in saved.windows})
        self.closed.update({number: self.accounts.pop(number) for number in saved.gone.accounts})
        for number in saved.gone.idle_accounts:
            assert self.accounts.pop(number).posted == 0
        for number in saved.gone.windows:
            self.windows.pop(number)
        self.holds, self.next_number, self.horizon_ms = saved.holds, saved.next_number, saved.horizon_ms

    def closed_at(self, kind: LimitedKind) -> int:
        return sum(account.posted for account in self.closed.values() if account.row[2] == kind)

    def engine(self, rows: list[tuple], clock: Clock) -> Engine:
        """An engine made again from what was saved and these rows."""
        engine = Engine(lambda row: None)
        replay = Replay(engine, clock())
        replay.restore(self.accounts.values(), self.windows.values(), self.holds, self.next_number, self.horizon_ms)
        replay.apply(rows)
        return engine
