"""``headgate import litellm``: reads LiteLLM's files, writes ours, and says what became of every option."""

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from headgate.catalog.book import load_price_book
from headgate.cli.failure import CommandError
from headgate.cli.output import print_json, print_table
from headgate.control.checks import SLUG
from headgate.migration.finding import Finding, Outcome
from headgate.migration.litellm import File, Migration, translate
from headgate.migration.litellm_export import Export, ExportError, read_export
from headgate.settings.document import MAX_FILE_BYTES, ConfigurationError, parse_document

_MAX_EXPORT_BYTES: Final = 256 * 1024 * 1024
_COLUMNS: Final = {"lines": "lines", "option": "option", "reason": "what becomes of it"}
_HEADINGS: Final = {
    Outcome.TRANSLATED: "Translated",
    Outcome.APPROXIMATED: "Approximated: it works, not in every detail as before",
    Outcome.REFUSED: "REFUSED: Headgate does not do this",
}
_ROW: Final = re.compile(r"keys\[\d+\]")


class Wanted(NamedTuple):
    """What the command line asks for."""

    configuration: Path
    keys: Path | None
    out: Path
    organization: str
    plan: bool
    force: bool


def is_slug(text: str) -> bool:
    """Whether ``text`` can be the slug of an organization."""
    return re.fullmatch(SLUG, text) is not None


def import_litellm(wanted: Wanted, *, as_json: bool) -> None:
    """Translate, write unless it is only planned, and print the list.

    Raises:
        CommandError: the input cannot be read, or a file would be overwritten; nothing has been written then.
    """
    migration = _translate(wanted)
    paths = [wanted.out / file.name for file in migration.files]
    if not wanted.plan:
        _write(migration.files, wanted)
    if as_json:
        print_json(_data(migration, paths, written=not wanted.plan))
        return
    _print_findings(migration)
    print(", ".join(f"{migration.count(outcome)} {outcome.value}" for outcome in Outcome) + ".")
    names = ", ".join(str(path) for path in paths)
    print(f"This is a plan; nothing was written. Without --plan: {names}" if wanted.plan else f"Written: {names}")
    if migration.variables:
        print(f"Set before the gateway starts: {', '.join(migration.variables)}")


def _translate(wanted: Wanted) -> Migration:
    source = str(wanted.configuration)
    export: Export | None = None
    try:
        root = parse_document(_read(wanted.configuration, MAX_FILE_BYTES), source)
        if wanted.keys is not None:
            export = read_export(_read(wanted.keys, _MAX_EXPORT_BYTES))
    except ConfigurationError as error:
        raise CommandError(str(error)) from None
    except ExportError as error:
        raise CommandError(f"{wanted.keys}: {error}") from None
    return translate(
        root,
        source,
        load_price_book().price,
        export=export,
        export_source=str(wanted.keys),
        organization=wanted.organization,
    )


def _read(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    if len(data) > limit:
        raise CommandError(f"{path} is larger than {limit // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not valid UTF-8") from None


def _write(files: Sequence[File], wanted: Wanted) -> None:
    """Write every file whole, readable by nobody else; none where one of them is there and is not to be replaced."""
    there = [str(wanted.out / file.name) for file in files if os.path.lexists(wanted.out / file.name)]
    if there and not wanted.force:
        raise CommandError(
            f"{', '.join(there)}: there already; give --force to replace, or --out for another directory"
        )
    try:
        wanted.out.mkdir(parents=True, exist_ok=True)
        for file in files:
            _write_one(wanted.out / file.name, file.text, replace=wanted.force)
    except OSError as error:
        raise CommandError(f"{error.filename or wanted.out}: {error.strerror}") from error


def _write_one(path: Path, text: str, *, replace: bool) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        if replace:
            os.replace(name, path)
        else:
            # A link, unlike a rename, never takes the place of a file that came in between.
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _data(migration: Migration, paths: Sequence[Path], *, written: bool) -> dict[str, Any]:
    return {
        "written": written,
        "files": [str(path) for path in paths],
        "variables": migration.variables,
        "counts": {outcome.value: migration.count(outcome) for outcome in Outcome},
        "findings": migration.findings,
    }


def _print_findings(migration: Migration) -> None:
    """Print the list by outcome, what is refused last: the end of a long list is what is read."""
    for outcome, heading in _HEADINGS.items():
        rows = list(_rows(finding for finding in migration.findings if finding.outcome is outcome))
        if rows:
            print(f"{heading}\n")
            print_table(rows, _COLUMNS, empty="")
            print()


def _rows(findings: Iterable[Finding]) -> Iterable[dict[str, Any]]:
    """Join what is said of many keys in the same words: thousands of them have the same few fields."""
    joined: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        option = _ROW.sub("keys[]", finding.option)
        joined.setdefault((finding.source, option, finding.reason), []).append(finding)
    for (_, option, reason), group in joined.items():
        first = group[0]
        lines = f"{first.line}-{first.end_line}" if first.end_line > first.line else str(first.line)
        many = len(group) > 1
        yield {
            "lines": f"{lines} …" if many else lines,
            "option": f"{option} ({len(group)} keys)" if many else first.option,
            "reason": reason,
        }
