"""Budgets and rate limits of the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.domain.limits import BudgetMode, Period, WindowMode
from headgate.domain.money import NANO_PER_USD
from headgate.settings.limits import EACH
from headgate.settings.load import parse_settings
from headgate.settings.model import (
    ProvisionedBudget,
    ProvisionedNamedLimits,
    ProvisionedOrganization,
    ProvisionedRateLimits,
    Settings,
)

Read = Callable[[str], Settings]
Fail = Callable[[str], str]

USD = NANO_PER_USD


def only(settings: Settings) -> ProvisionedOrganization:
    (organization,) = settings.organizations
    return organization


def test_limits_are_read_at_every_level(read: Read) -> None:
    acme = only(
        read(f"""
        organizations:
          - slug: acme
            budgets:
              - {{amount_usd: "10000", period: month}}
              - {{amount_usd: "0.000000001", period: hour, mode: audit}}
            rate_limits: {{tpm: 2000000, tpd: "900000000", tpd_mode: smooth}}
            users: [{{email: a@b, budgets: [{{amount_usd: "50.25", period: week}}], rate_limits: {{concurrency: 3}}}}]
            keys: [{{name: k, models: ["*"], secret: {"a" * 32}, budgets: [{{amount_usd: "0", period: total}}]}}]
            teams:
              - slug: ml
                budgets: [{{amount_usd: "5000", period: month}}]
                rate_limits: {{rpm: 600}}
                projects:
                  - slug: search
                    budgets: [{{amount_usd: "5000", period: month}}]
                    rate_limits: {{tph: 0}}
                    keys:
                      - name: k
                        models: ["*"]
                        secret: {"b" * 32}
                        budgets: [{{amount_usd: "20", period: day}}]
                        rate_limits: {{tpm: 100000, tpm_mode: strict}}
        """)
    )

    assert acme.budgets == (
        ProvisionedBudget(10_000 * USD, Period.MONTH),
        ProvisionedBudget(1, Period.HOUR, BudgetMode.AUDIT),
    )
    assert acme.rate_limits == ProvisionedRateLimits(tpm=2_000_000, tpd=900_000_000, tpd_mode=WindowMode.SMOOTH)
    assert acme.users[0].budgets == (ProvisionedBudget(50_250_000_000, Period.WEEK),)
    assert acme.users[0].rate_limits == ProvisionedRateLimits(concurrency=3)
    assert acme.keys[0].budgets == (ProvisionedBudget(0, Period.TOTAL),)
    assert acme.keys[0].rate_limits is None
    (team,) = acme.teams
    assert team.budgets == (ProvisionedBudget(5_000 * USD, Period.MONTH),)
    assert team.rate_limits == ProvisionedRateLimits(rpm=600)
    (project,) = team.projects
    assert project.budgets == team.budgets
    assert project.rate_limits == ProvisionedRateLimits(tph=0)
    assert project.keys[0].budgets == (ProvisionedBudget(20 * USD, Period.DAY),)
    assert project.keys[0].rate_limits == ProvisionedRateLimits(tpm=100_000, tpm_mode=WindowMode.STRICT)


def test_limits_hang_on_the_names_that_requests_bring(read: Read) -> None:
    acme = only(
        read("""
        organizations:
          - slug: acme
            end_users: [{name: "*", rate_limits: {rpm: 20}}, {name: ada, budgets: [{amount_usd: "5", period: day}]}]
            models: [{name: gpt-4o, budgets: [{amount_usd: "100", period: day}], rate_limits: {tpm: 5}}]
            tags: [{name: cost-center=4711, budgets: [{amount_usd: "7", period: month}]}]
        """)
    )

    assert acme.end_users == (
        ProvisionedNamedLimits(EACH, rate_limits=ProvisionedRateLimits(rpm=20)),
        ProvisionedNamedLimits("ada", budgets=(ProvisionedBudget(5 * USD, Period.DAY),)),
    )
    assert acme.models == (
        ProvisionedNamedLimits("gpt-4o", (ProvisionedBudget(100 * USD, Period.DAY),), ProvisionedRateLimits(tpm=5)),
    )
    assert acme.tags == (ProvisionedNamedLimits("cost-center=4711", (ProvisionedBudget(7 * USD, Period.MONTH),)),)


def test_an_amount_may_come_out_of_the_environment(tmp_path: Path) -> None:
    text = 'organizations: [{slug: acme, budgets: [{amount_usd: "${CAP}", period: month}]}]'
    loaded = parse_settings(text, source="x", environ={"CAP": "12.5"}, directory=tmp_path)

    assert only(loaded.settings).budgets[0].amount_nano_usd == 12_500_000_000


def test_a_block_without_a_limit_is_none(read: Read) -> None:
    acme = only(read("organizations: [{slug: acme, budgets: [], rate_limits: {}}]"))

    assert acme.budgets == ()
    assert acme.rate_limits is None


PLACE = "1: organizations[0]"


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("budgets: [{amount_usd: 5000, period: month}]",
         f'{PLACE}.budgets[0].amount_usd: an amount of money stands in quotes: "5000"'),
        ("budgets: [{amount_usd: 0.1, period: month}]", 'amount_usd: an amount of money stands in quotes: "0.1"'),
        ("budgets: [{amount_usd: 1_000, period: month}]", "amount_usd: an amount of money stands in quotes"),
        ('budgets: [{amount_usd: "1e3", period: month}]', 'amount_usd: expected an amount in USD in quotes'),
        ('budgets: [{amount_usd: "5 USD", period: month}]', "amount_usd: expected an amount in USD"),
        ('budgets: [{amount_usd: "NaN", period: month}]', "amount_usd: expected an amount in USD"),
        ("budgets: [{amount_usd: .nan, period: month}]", "amount_usd: an amount of money stands in quotes"),
        ('budgets: [{amount_usd: "inf", period: month}]', "amount_usd: expected an amount in USD"),
        ('budgets: [{amount_usd: "٣", period: month}]', "amount_usd: expected an amount in USD"),
        ('budgets: [{amount_usd: "-1", period: month}]', "amount_usd: must not be negative"),
        ('budgets: [{amount_usd: "0.0000000001", period: month}]', "amount_usd: has more than 9 decimals"),
        ('budgets: [{amount_usd: "9000000.000000001", period: month}]', "amount_usd: must not be above 9000000 USD"),
        ("budgets: [{period: month}]", f'{PLACE}.budgets[0]: the key "amount_usd" is missing: such as "5000"'),
        ('budgets: [{amount_usd: "1"}]', f'{PLACE}.budgets[0]: the key "period" is missing: such as month'),
        ('budgets: [{amount_usd: "1", period: monthly}]',
         'period: expected "hour" or "day" or "week" or "month" or "total", got "monthly"; did you mean "month"?'),
        ('budgets: [{amount_usd: "1", period: day, mode: warn}]', 'mode: expected "enforce" or "audit", got "warn"'),
        ('budgets: [{amount: "1", period: day}]', 'budgets[0].amount: unknown key; did you mean "amount_usd"?'),
        ('budgets: {amount_usd: "1", period: day}', f"{PLACE}.budgets: expected a list of budgets such as"),
        ('budgets: [{amount_usd: "1", period: day}, {amount_usd: "2", period: day}]',
         f'{PLACE}.budgets[1]: the budget "day enforce" is given twice; it first stands on line 1'),
        ("rate_limits: {rpn: 1}", f'{PLACE}.rate_limits.rpn: unknown key; did you mean "rpm"?'),
        ("rate_limits: {rpm: -1}", f"{PLACE}.rate_limits.rpm: expected a whole number such as 100000"),
        ("rate_limits: {rpm: 1.5}", "rate_limits.rpm: expected a whole number"),
        ("rate_limits: {tpm: 9000000000000001}", "rate_limits.tpm: must lie between 0 and 9000000000000000"),
        ("rate_limits: {tpm: 1, tpm_mode: soft}", 'tpm_mode: expected "strict" or "smooth", got "soft"'),
        ("rate_limits: {rpm: 1, tph_mode: smooth}",
         "rate_limits.tph_mode: says how tph is counted, and there is no tph beside it"),
        ("rate_limits: [rpm]", "rate_limits: expected a block of keys such as {rpm: …}"),
        ("end_users: [{name: ada}]", f"{PLACE}.end_users[0]: limits nothing: give budgets or rate_limits"),
        ("end_users: [{rate_limits: {rpm: 1}}]", 'end_users[0]: the key "name" is missing'),
        ('end_users: [{name: "*", rate_limits: {rpm: 1}}, {name: "*", rate_limits: {rpm: 2}}]',
         'end_users[1]: the end user "*" is given twice'),
        ('models: [{name: "gpt-*", rate_limits: {rpm: 1}}]', 'models[0].name: "*" stands alone here, for each model'),
        ("tags: [{name: team, rate_limits: {rpm: 1}}]", 'tags[0].name: expected a tag such as "cost-center=4711"'),
    ],
)  # fmt: skip
def test_a_limit_fails_at_its_line(fail: Fail, inside: str, words: str) -> None:
    answer = fail(f"organizations: [{{slug: acme, {inside}}}]")

    assert answer.startswith("1: ")
    assert words in answer


def test_a_budget_in_audit_mode_may_stand_beside_one_that_binds(read: Read) -> None:
    budgets = '[{amount_usd: "1", period: day}, {amount_usd: "1", period: day, mode: audit}]'

    assert len(only(read(f"organizations: [{{slug: acme, budgets: {budgets}}}]")).budgets) == 2


def test_a_key_above_its_team_fails_at_its_line(fail: Fail) -> None:
    words = fail(f"""
        organizations:
          - slug: acme
            budgets: [{{amount_usd: "10000", period: month}}]
            teams:
              - slug: ml
                budgets:
                  - {{amount_usd: "5000", period: month}}
                keys:
                  - name: k
                    models: ["*"]
                    secret: {"a" * 32}
                    budgets:
                      - period: month
                        amount_usd: "5000.01"
        """)

    assert words == (
        "15: organizations[0].teams[0].keys[0].budgets[0].amount_usd: 5000.01 USD is above the 5000 USD that "
        "organizations[0].teams[0].budgets[0] on line 8 allows for the same period (month) further out, so it would "
        "never be reached"
    )


@pytest.mark.parametrize(
    "inside",
    [
        "teams: [{slug: t, budgets: [BUDGET]}]",
        "teams: [{slug: t, projects: [{slug: p, budgets: [BUDGET]}]}]",
        "teams: [{slug: t, projects: [{slug: p, keys: [KEY]}]}]",
        "keys: [KEY]",
        "users: [{email: a@b, budgets: [BUDGET]}]",
    ],
)
def test_the_nearest_budget_of_the_period_binds_through_levels_without_one(read: Read, fail: Fail, inside: str) -> None:
    def file(amount: str, *, period: str = "month", mode: str = "enforce", outer: str = "enforce") -> str:
        budget = f'{{amount_usd: "{amount}", period: {period}, mode: {mode}}}'
        key = f'{{name: k, models: ["*"], secret: {"a" * 32}, budgets: [{budget}]}}'
        top = f'[{{amount_usd: "100", period: month, mode: {outer}}}]'
        below = inside.replace("KEY", key).replace("BUDGET", budget)
        return f"organizations: [{{slug: acme, {below}, budgets: {top}}}]"

    assert "is above the 100 USD that organizations[0].budgets[0] on line 1" in fail(file("100.000000001"))
    for fine in (file("100"), file("101", period="week"), file("101", mode="audit"), file("101", outer="audit")):
        assert read(fine).organizations
