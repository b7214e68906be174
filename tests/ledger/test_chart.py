from headgate.domain.limits import LimitedKind, Override, Period, RateLimits, WindowMode
from headgate.ledger.chart import Chart, place_of
from headgate.ledger.rows import ACCOUNT, PATH, WINDOW
from tests.ledger.tree import HOUR_MS, Clock, budget, key_path

DAY_MS = 24 * HOUR_MS


def make_chart() -> tuple[Chart, list[tuple]]:
    rows: list[tuple] = []
    return Chart(rows.append), rows


def test_what_is_new_is_announced_once() -> None:
    (chart, rows), now = make_chart(), Clock()
    path = key_path(budget("bud_1", 100), rates=RateLimits(tpm=5, rpm=5))
    lines = chart.lines(path, now.wall_ms)

    assert chart.lines(path, now.wall_ms) is lines
    assert chart.announced(lines) == chart.announced(lines) == 1
    assert [row[0] for row in rows] == [ACCOUNT, WINDOW, PATH]
    # The same limits in a new snapshot are the same accounts, under the same number.
    again = chart.lines(key_path(budget("bud_1", 100), rates=RateLimits(tpm=5, rpm=5)), now.wall_ms)
    assert again.accounts == lines.accounts
    assert chart.announced(again) == 1
    assert len(rows) == 3


def test_a_changed_limit_is_announced_again() -> None:
    (chart, rows), now = make_chart(), Clock()
    chart.lines(key_path(budget("bud_1", 100), rates=RateLimits(tpm=5)), now.wall_ms)
    chart.lines(
        key_path(budget("bud_1", 90, version=2), rates=RateLimits(tpm=6, tpm_mode=WindowMode.STRICT, version=2)),
        now.wall_ms,
    )

    assert [row[:2] for row in rows] == [(ACCOUNT, 1), (WINDOW, 2), (ACCOUNT, 1), (WINDOW, 2)]


def test_a_path_means_new_accounts_when_a_period_or_an_override_ends() -> None:
    (chart, _), now = make_chart(), Clock()
    path = key_path(
        budget("bud_1", 100, Period.DAY, override=Override(900, now.wall_ms + HOUR_MS)), budget("bud_2", 5, Period.WEEK)
    )
    lines = chart.lines(path, now.wall_ms)

    assert lines.accounts[0].limit == 900
    assert chart.lines(path, now.wall_ms + HOUR_MS - 1) is lines
    assert chart.lines(path, now.wall_ms + HOUR_MS).accounts[0] is lines.accounts[0]
    assert lines.accounts[0].limit == 100
    tomorrow = chart.lines(path, now.wall_ms + DAY_MS)
    assert tomorrow.accounts[0] is not lines.accounts[0]
    assert tomorrow.accounts[1] is lines.accounts[1]
    assert chart.lines(path, now.wall_ms).accounts == lines.accounts


def test_what_is_pruned_is_forgotten_and_time_never_runs_back_behind_it() -> None:
    (chart, _), now = make_chart(), Clock()
    path = key_path(budget("bud_1", 100, Period.DAY), rates=RateLimits(rpm=1, tpm=1, concurrency=1))
    account = chart.lines(path, now.wall_ms).accounts[0]
    account.posted, account.dirty = 5, False
    now.pass_ms(3 * DAY_MS)
    chart.lines(path, now.wall_ms).accounts[0].dirty = False

    gone = chart.prune(now(), set())

    assert (gone.accounts, len(gone.idle_accounts), len(gone.windows)) == ((1,), 1, 1)
    assert (chart.accounts, chart.windows) == ({}, {})
    assert chart.lines(path, now.wall_ms - 30 * DAY_MS).accounts[0].key.period_id == "2026-11-25"


def test_an_account_that_was_corrected_to_nothing_remembers_its_thresholds() -> None:
    (chart, _), now = make_chart(), Clock()
    path = key_path(budget("bud_1", 100, Period.DAY))
    account = chart.lines(path, now.wall_ms).accounts[0]
    account.dirty, account.posted = False, 60
    assert [each.percent for each in account.crossed()] == [50]
    account.posted = 0

    assert chart.prune(now(), set()).idle_accounts == ()
    now.pass_ms(3 * DAY_MS)
    assert chart.prune(now(), set()).accounts == (account.number,)


def test_what_reservations_name_is_not_pruned() -> None:
    (chart, _), now = make_chart(), Clock()
    lines = chart.lines(key_path(budget("bud_1", 100), rates=RateLimits(tpm=1)), now.wall_ms)
    lines.accounts[0].dirty = False

    assert chart.prune(now(), {1, 2}).idle_accounts == ()
    assert len(chart.windows) == 1


def test_a_window_is_named_by_what_it_hangs_on() -> None:
    assert place_of("end_user/org_1/a/b/tpm") == (LimitedKind.END_USER, "org_1/a/b")
