"""Where the names that aliases lead to end: each of them exists, none comes back to itself, none meets the sandbox.

A name that an alias leads to (``use``, the ``use`` of a rule, a fallback) is read like one that a client sends: an
exact alias, ``provider/model`` of a configured provider, or what an alias with a glob matches. While a provider is off
its names may reach a glob instead, so both count here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from headgate.settings.reader import Place

DEEPEST: Final = 8
"""So many names may lead to one another, one after the other; a request follows no more."""


class Reference(Struct, frozen=True):
    """A name that an alias leads to, where it stands."""

    name: str
    place: Place


class Alias(Struct, frozen=True):
    """An alias and all that it leads to."""

    name: str
    written: str
    """Its name as the file has it, for errors."""
    providers: tuple[str, ...] = ()
    """Those of its deployments, which are of one kind."""
    use: Reference | None = None
    rules: tuple[Reference, ...] = ()
    fallbacks: tuple[Reference, ...] = ()


class _Meaning(Struct, frozen=True):
    """What a name may lead to."""

    aliases: tuple[Alias, ...]
    provider: str | None = None


class _Names:
    """What the names of a file mean."""

    def __init__(self, aliases: Sequence[Alias], providers: Mapping[str, bool]) -> None:
        self._exact = {alias.name: alias for alias in aliases if not alias.name.endswith("*")}
        self._globs = [(alias.name[:-1], alias) for alias in aliases if alias.name.endswith("*")]
        self._providers = providers
        # A name that a variable holds is no hint: errors show nothing of the environment.
        self._known = tuple(name for name, alias in self._exact.items() if name == alias.written)

    def meaning(self, reference: Reference) -> _Meaning:
        """Return what a name may lead to; fail at its place where that is nothing."""
        name = reference.name
        alias = self._exact.get(name)
        if alias is not None:
            return _Meaning((alias,))
        provider, slash, rest = name.partition("/")
        matched = next(((alias,) for prefix, alias in self._globs if name.startswith(prefix)), ())
        if slash and rest and provider in self._providers:
            return _Meaning(matched, provider)
        if not matched:
            noun = "alias, and no provider for the model," if slash else "alias"
            near = tuple(f"{each}/{rest}" for each in self._providers) if slash and rest else ()
            reference.place.unknown(noun, name, self._known + near)
        return _Meaning(matched)


def judge(aliases: Sequence[Alias], providers: Mapping[str, bool]) -> None:
    """Refuse names that do not exist, circles, and the sandbox beside a real provider.

    Args:
        aliases: every alias of the file, in its order.
        providers: name of each provider → whether it is the sandbox.

    Raises:
        ConfigurationError: at the place of the name that is wrong.
    """
    names = _Names(aliases, providers)
    ends = _Ends(names, providers)
    for alias in _inside_out(aliases, names):
        ends.add(alias)
    for alias in aliases:
        for reference in alias.fallbacks:
            ends.judge_fallback(alias, reference)


class _Ends:
    """What aliases come to once every ``use`` is followed. An alias is added after all that it leads to."""

    def __init__(self, names: _Names, providers: Mapping[str, bool]) -> None:
        self._names = names
        self._providers = providers
        self._is_sandbox: dict[str, bool] = {}
        self._last: dict[str, str] = {}
        """Alias → the one with deployments that it stands for."""
        self._steps: dict[str, int] = {}
        """Alias → over how many names at most it leads."""

    def add(self, alias: Alias) -> None:
        """Note what an alias comes to; fail where its rules lead partly to the sandbox, or over too many names."""
        kinds = {self._providers[provider] for provider in alias.providers}
        steps = 0
        for reference in _steps(alias):
            meaning = self._names.meaning(reference)
            kinds |= self._kinds(meaning)
            if len(kinds) > 1:
                _refuse_mixture(reference)
            steps = max(steps, 1, *(1 + self._steps[each.name] for each in meaning.aliases))
            if steps > DEEPEST:
                reference.place.fail(f"leads over more than {DEEPEST} names, one after the other")
        self._steps[alias.name] = steps
        self._is_sandbox[alias.name] = True in kinds
        self._last[alias.name] = alias.name
        if alias.use is not None:
            meaning = self._names.meaning(alias.use)
            if meaning.provider is None:
                self._last[alias.name] = self._last[meaning.aliases[0].name]

    def judge_fallback(self, alias: Alias, reference: Reference) -> None:
        """Fail where a fallback leads back to its alias or from a real provider to the sandbox."""
        meaning = self._names.meaning(reference)
        if any(self._last[each.name] == alias.name for each in meaning.aliases):
            through = "" if reference.name == alias.name else f", because it leads back to {alias.written}"
            reference.place.fail(f"is no fallback{through}: an alias cannot stand in for itself")
        if self._kinds(meaning) != {self._is_sandbox[alias.name]}:
            _refuse_mixture(reference)

    def _kinds(self, meaning: _Meaning) -> set[bool]:
        kinds = {self._is_sandbox[each.name] for each in meaning.aliases}
        return kinds if meaning.provider is None else kinds | {self._providers[meaning.provider]}


def _refuse_mixture(reference: Reference) -> None:
    reference.place.fail(
        "leads from a real provider to the sandbox or back; its answers are made up and must not replace real ones"
    )


def _inside_out(aliases: Sequence[Alias], names: _Names) -> Iterator[Alias]:
    """Yield every alias after those that it leads to by ``use``; fail where that goes round in a circle.

    Without recursion: a chain may be as long as a file.
    """
    done: set[str] = set()
    for start in aliases:
        if start.name in done:
            continue
        open_ = {start.name: start.written}
        """The aliases between ``start`` and here, each with how the file wrote it."""
        stack = [(start, _led_to(start, names))]
        while stack:
            alias, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                stack.pop()
                del open_[alias.name]
                done.add(alias.name)
                yield alias
                continue
            reference, below = step
            if below.name in open_:
                _refuse_circle(reference, below, open_)
            if below.name not in done:
                open_[below.name] = _written(reference, below)
                stack.append((below, _led_to(below, names)))


def _steps(alias: Alias) -> tuple[Reference, ...]:
    """Return where a request may be led before anything is sent; a fallback is another step, after it failed."""
    return alias.rules if alias.use is None else (alias.use, *alias.rules)


def _led_to(alias: Alias, names: _Names) -> Iterator[tuple[Reference, Alias]]:
    for reference in _steps(alias):
        for below in names.meaning(reference).aliases:
            yield reference, below


def _written(reference: Reference, alias: Alias) -> str:
    return alias.written if reference.name == alias.name else f"{reference.place.written()} ({alias.written})"


def _refuse_circle(reference: Reference, closing: Alias, open_: Mapping[str, str]) -> None:
    names = list(open_)
    circle = [closing.written, *(open_[name] for name in names[names.index(closing.name) + 1 :])]
    reference.place.fail(f"leads in a circle: {' → '.join((*circle, _written(reference, closing)))}")
