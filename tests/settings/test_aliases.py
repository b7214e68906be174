"""The names that aliases lead to."""

import time
from collections.abc import Callable

import pytest

from headgate.routing import plan
from headgate.settings.aliases import DEEPEST
from headgate.settings.document import ConfigurationError
from headgate.settings.load import parse_settings
from headgate.settings.model import Settings

Read = Callable[[str], Settings]
Fail = Callable[[str], str]

PROVIDERS = "providers: {sandbox: {kind: sandbox}, openai: {kind: openai}}\n"
REAL = "deployments: [{provider: openai, model: m}]"
MADE_UP = "deployments: [{provider: sandbox, model: echo}]"


def models(*entries: str) -> str:
    """Return a file whose entry ``models[n]`` stands on line ``n + 3``."""
    return f"{PROVIDERS}models:\n" + "".join(f"- {{{entry}}}\n" for entry in entries)


@pytest.mark.parametrize("target", ["b", "later", "openai/anything", "openai/a/b", "glob-7", "glob-"])
@pytest.mark.parametrize(
    "leads", ["use: TO", f"{REAL}, fallbacks: {{error: [TO]}}", f"{REAL}, rules: [{{when: {{user: x}}, use: TO}}]"]
)
def test_a_name_is_an_alias_or_a_providers_model_or_what_a_glob_matches(read: Read, target: str, leads: str) -> None:
    leads = leads.replace("TO", target)

    assert read(models(f"alias: b, {REAL}", f"alias: a, {leads}", f"alias: glob-*, {REAL}", f"alias: later, {REAL}"))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("use: gtp-4o", '.use: there is no alias "gtp-4o"; did you mean "gpt-4o"?'),
        ("use: xyz", '.use: there is no alias "xyz"; known here: a, gpt-4o'),
        (f"{REAL}, fallbacks: {{context_length: [gpt-4o, gpt4o]}}",
         '.fallbacks.context_length[1]: there is no alias "gpt4o"; did you mean "gpt-4o"?'),
        (f"{REAL}, rules: [{{when: {{user: x}}, use: gpt-5o}}]", '.rules[0].use: there is no alias "gpt-5o"; did you'),
        ("use: opnai/o3", '.use: there is no alias, and no provider for the model, "opnai/o3"; did you mean "op'),
        ("use: openai/", '.use: there is no alias, and no provider for the model, "openai/"'),
        ("use: /o3", '.use: there is no alias, and no provider for the model, "/o3"'),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_fails_at_its_line(fail: Fail, entry: str, words: str) -> None:
    assert fail(models(f"alias: gpt-4o, {REAL}", f"alias: a, {entry}")).startswith(f"4: models[1]{words}")


def test_a_long_list_of_known_names_is_cut(fail: Fail) -> None:
    entries = [f"alias: name-{number:02}, {REAL}" for number in range(30)]

    assert fail(models("alias: a, use: '#'", *entries)).endswith("name-17, name-18 and 11 more")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["alias: a, use: a"], "3: models[0].use: leads in a circle: a → a"),
        (["alias: a, use: b", "alias: b, use: c", "alias: c, use: b"],
         "5: models[2].use: leads in a circle: b → c → b"),
        ([f"alias: a, {REAL}, rules: [{{when: {{user: x}}, use: b}}]", "alias: b, use: a"],
         "4: models[1].use: leads in a circle: a → b → a"),
        ([f"alias: g-*, {REAL}, rules: [{{when: {{user: x}}, use: g-1}}]"],
         "3: models[0].rules[0].use: leads in a circle: g-* → g-1 (g-*)"),
        (["alias: a, use: g-1", "alias: g-*, use: a"], "4: models[1].use: leads in a circle: a → g-1 (g-*) → a"),
        # While openai is off, its names reach the glob.
        ([f"alias: openai/*, {REAL}, rules: [{{when: {{user: x}}, use: openai/o3}}]"],
         "3: models[0].rules[0].use: leads in a circle: openai/* → openai/o3 (openai/*)"),
    ],
)  # fmt: skip
def test_a_circle_is_printed(fail: Fail, entries: list[str], words: str) -> None:
    assert fail(models(*entries)) == words


def test_two_ways_to_one_alias_are_no_circle(read: Read) -> None:
    rule = "rules: [{when: {user: x}, use: b}, {when: {user: y}, use: c}]"

    assert read(models(f"alias: a, use: c, {rule}", "alias: b, use: c", f"alias: c, {REAL}"))


def test_two_aliases_may_be_each_others_fallback(read: Read) -> None:
    assert read(models(f"alias: a, {REAL}, fallbacks: {{error: [b]}}", f"alias: b, {REAL}, fallbacks: {{error: [a]}}"))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([f"alias: a, {REAL}, fallbacks: {{error: [a]}}"],
         "3: models[0].fallbacks.error[0]: is no fallback: an alias cannot stand in for itself"),
        ([f"alias: a, {REAL}, fallbacks: {{error: [b]}}", "alias: b, use: c", "alias: c, use: a"],
         "3: models[0].fallbacks.error[0]: is no fallback, because it leads back to a: an alias cannot"),
        ([f"alias: g-*, {REAL}, fallbacks: {{error: [g-1]}}"],
         "3: models[0].fallbacks.error[0]: is no fallback, because it leads back to g-*: an alias cannot"),
    ],
)  # fmt: skip
def test_an_alias_is_no_fallback_of_its_own(fail: Fail, entries: list[str], words: str) -> None:
    assert fail(models(*entries)).startswith(words)


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ([f"alias: a, {REAL}, fallbacks: {{error: [b]}}", f"alias: b, {MADE_UP}"], "3: models[0].fallbacks.error[0]"),
        ([f"alias: a, {MADE_UP}, fallbacks: {{error: [openai/o3]}}"], "3: models[0].fallbacks.error[0]"),
        ([f"alias: a, {REAL}, fallbacks: {{error: [sandbox/echo]}}"], "3: models[0].fallbacks.error[0]"),
        ([f"alias: a, {REAL}, rules: [{{when: {{user: x}}, use: b}}]", f"alias: b, {MADE_UP}"],
         "3: models[0].rules[0].use"),
        ([f"alias: a, {REAL}, rules: [{{when: {{user: x}}, use: b}}]", "alias: b, use: sandbox/echo"],
         "3: models[0].rules[0].use"),
        (["alias: a, use: sandbox/echo, rules: [{when: {user: x}, use: openai/o3}]"], "3: models[0].rules[0].use"),
        # While openai is off, the glob answers for it.
        (["alias: a, use: openai/o3", f"alias: openai/*, {MADE_UP}"], "3: models[0].use"),
    ],
)  # fmt: skip
def test_the_sandbox_stands_in_for_no_real_provider(fail: Fail, entries: list[str], path: str) -> None:
    assert fail(models(*entries)).startswith(f"{path}: leads from a real provider to the sandbox or back; its answers")


def test_the_sandbox_may_stand_beside_the_sandbox(read: Read) -> None:
    assert read(
        models(
            "alias: a, use: sandbox/echo, rules: [{when: {user: x}, use: sandbox/lorem-5}]",
            f"alias: b, {MADE_UP}, fallbacks: {{error: [a, sandbox/tool-call]}}",
        )
    )


def test_as_many_names_as_a_request_follows_may_lead_to_one_another(read: Read, fail: Fail) -> None:
    chain = [f"alias: a{number}, use: a{number + 1}" for number in range(DEEPEST)]
    rules = "rules: [{when: {user: x}, use: openai/o3}]"

    assert DEEPEST == plan.DEEPEST
    assert read(models(*chain, f"alias: a{DEEPEST}, {REAL}"))
    assert fail(models(*chain, f"alias: a{DEEPEST}, {REAL}, {rules}")) == (
        "3: models[0].use: leads over more than 8 names, one after the other"
    )


def test_a_chain_as_long_as_a_file_is_followed_in_seconds(fail: Fail) -> None:
    chain = [f"alias: a{number}, use: a{number + 1}" for number in range(20_000)]
    started = time.perf_counter()

    assert fail(models(*chain, "alias: a20000, use: a0")).startswith(
        "20003: models[20000].use: leads in a circle: a0 →"
    )
    assert time.perf_counter() - started < 20


def test_a_circle_shows_names_as_the_file_has_them() -> None:
    text = models("alias: 'a${A}', use: 'b${A}'", "alias: 'b*', use: 'a${A}'")
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(text, source="f", environ={"A": "canary"}, directory=None)

    assert str(caught.value).endswith("leads in a circle: a${A} → b${A} (b*) → a${A}")


def test_a_hint_shows_no_name_that_a_variable_holds() -> None:
    text = models(f"alias: '${{A}}', {REAL}", "alias: b, use: canari")
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(text, source="f", environ={"A": "canary"}, directory=None)

    assert str(caught.value).endswith('there is no alias "canari"; known here: b')
