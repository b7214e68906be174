"""The doctor's judgements, each from facts handed in, and one whole visit."""

import json
import os
import resource
import sqlite3
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
from msgspec.structs import replace

from headgate.cli import doctoring
from headgate.cli.doctoring import Verdict
from headgate.settings.load import parse_settings
from headgate.settings.model import LedgerSettings, Settings, StorageSettings
from headgate.storage.engine import open_database
from headgate.storage.migrate import migrate

_FSYNC = LedgerSettings()


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 10, 9), Verdict.FAILED), ((3, 11, 0), Verdict.OK), ((3, 14, 1), Verdict.OK)],
)
def test_python_before_3_11_fails(version: tuple[int, ...], verdict: Verdict):
    assert doctoring.check_python(version).verdict is verdict


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ((3, 40, 1), Verdict.WARNING),
        ((3, 51, 2), Verdict.WARNING),
        ((3, 50, 6), Verdict.WARNING),
        ((3, 44, 5), Verdict.WARNING),
        ((3, 44, 6), Verdict.OK),
        ((3, 50, 7), Verdict.OK),
        ((3, 51, 3), Verdict.OK),
        ((3, 54, 1), Verdict.OK),
    ],
)
def test_a_sqlite_with_the_wal_race_is_a_warning_that_says_why_it_is_safe(version: tuple[int, ...], verdict: Verdict):
    finding = doctoring.check_sqlite(version)
    assert finding.verdict is verdict
    assert ("one writer" in finding.detail) is (verdict is Verdict.WARNING)


def test_a_clock_before_this_version_fails():
    assert doctoring.check_clock(0).verdict is Verdict.FAILED
    assert doctoring.check_clock(1_795_000_000).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(256, Verdict.WARNING), (65536, Verdict.OK), (resource.RLIM_INFINITY, Verdict.OK)],
)
def test_few_open_files_are_a_warning(limit: int, verdict: Verdict):
    assert doctoring.check_open_files(limit).verdict is verdict


def ticking(*steps_s: float) -> Iterator[float]:
    """The readings of a clock: of each pair the second is a step later, the last step for ever."""
    for step in chain(steps_s[:-1], repeat(steps_s[-1])):
        yield 0.0
        yield step


def fsync(directory: Path, *steps_s: float, ledger: LedgerSettings = _FSYNC) -> doctoring.Finding:
    readings = ticking(*steps_s)
    return doctoring.check_fsync(directory, lambda: next(readings), ledger)


def test_a_disk_is_measured_and_nothing_is_left_behind(tmp_path: Path):
    finding = fsync(tmp_path / "not-yet", 0.004, 0.002)
    assert finding.verdict is Verdict.OK
    assert "takes 2.00 ms (p50), 4.00 ms (p99) of 50" in finding.detail
    assert list(tmp_path.iterdir()) == []


def test_a_slow_disk_is_a_warning_that_says_who_waits(tmp_path: Path):
    assert fsync(tmp_path, 0.010).verdict is Verdict.OK
    finding = fsync(tmp_path, 0.011)
    assert finding.verdict is Verdict.WARNING
    assert "requests under a budget wait for it" in finding.detail
    relaxed = fsync(tmp_path, 0.011, ledger=LedgerSettings(durability="os"))
    assert relaxed.verdict is Verdict.WARNING
    assert "under a budget" not in relaxed.detail


def test_a_disk_slower_than_the_commit_timeout_is_a_warning_even_where_that_is_rare(tmp_path: Path):
    finding = fsync(tmp_path, 0.6, 0.001)
    assert finding.verdict is Verdict.WARNING
    assert "ledger.commit_timeout" in finding.detail
    assert fsync(tmp_path, 0.6, 0.001, ledger=LedgerSettings(commit_timeout=1)).verdict is Verdict.OK
    assert fsync(tmp_path, 0.6, 0.001, ledger=LedgerSettings(durability="os")).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("kind", "words"), [("tmpfs", "restart of the machine"), ("overlay", "restart of the container"), ("ext4", "")]
)
def test_a_data_directory_on_an_ephemeral_volume_is_a_warning(tmp_path: Path, kind: str, words: str):
    place = tmp_path / "a volume"
    place.mkdir()
    shown = str(place.resolve()).replace(" ", "\\040")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\nbroken\next3 {shown} ext3 rw 0 0\ndev {shown} {kind} rw 0 0\n")
    finding = doctoring.check_volume(place / "data" / "not-yet", mounts)
    assert finding.verdict is (Verdict.WARNING if words else Verdict.OK)
    assert f"lies on {kind}" in finding.detail
    assert words in finding.detail
    beside = doctoring.check_volume(tmp_path, mounts)
    assert (beside.verdict, "lies on overlay" in beside.detail) == (Verdict.WARNING, True)


def test_a_system_without_a_table_of_mounts_says_so(tmp_path: Path):
    finding = doctoring.check_volume(tmp_path, tmp_path / "none")
    assert finding.verdict is Verdict.OK
    assert "does not say" in finding.detail


def test_a_configuration_that_cannot_be_read_fails_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "headgate.yaml"
    config.write_text("server:\n  lisen: 127.0.0.1:1\n")
    assert doctoring.doctor(config, as_json=True) == 1
    findings = {item["check"]: item for item in json.loads(capsys.readouterr().out)["data"]}
    assert findings["configuration"]["verdict"] == "failed"
    assert f"{config}:2" in findings["configuration"]["detail"]


def test_aliases_that_lead_nowhere_are_a_warning_and_those_that_fail_over_are_counted():
    def models(text: str) -> doctoring.Finding:
        text = "providers:\n  a: {kind: openai, credential: x}\n  empty: {kind: openai}\n" + text
        return doctoring.check_models(parse_settings(text, source="f", environ={}, directory=None).settings)

    a, off = "{provider: a, model: m}", "{provider: empty, model: m}"
    good = models(
        f"models: [{{alias: one, deployments: [{a}, {off}]}}, {{alias: two, deployments: [{a}], fallbacks: "
        f"{{error: [one]}}}}, {{alias: three, deployments: [{a}]}}, {{alias: four, use: one}}]"
    )
    bad = models(f"models: [{{alias: one, deployments: [{off}]}}, {{alias: two, deployments: [{a}]}}]")

    assert (good.verdict, good.detail) == (Verdict.OK, "2 of 4 aliases can fail over")
    assert (bad.verdict, bad.detail) == (Verdict.WARNING, "answered 404, because their providers are off: one")


def test_several_credentials_are_named_and_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "headgate.yaml"
    config.write_text(
        f"storage: {{database: 'sqlite:///{tmp_path}/x.db'}}\n"
        "providers: {a: {kind: openai, credentials: [{name: main, value: canary}, {name: spare, value: canary2}]}}\n"
        "models: [{alias: m, deployments: [{provider: a, model: m}]}]\n"
    )
    doctoring.doctor(config, as_json=False)
    out = capsys.readouterr().out
    assert "its credentials are present: main, spare" in out
    assert "1 of 1 aliases can fail over" in out
    assert "canary" not in out


def test_a_first_start_is_fine_and_the_visit_makes_no_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_TOKEN", "_KEY")):
            monkeypatch.delenv(name)
    assert doctoring.doctor(None, as_json=False) == 0
    out = capsys.readouterr().out
    assert "provider sandbox" in out
    assert "needs no credential" in out
    assert "does not exist yet" in out
    assert list(tmp_path.iterdir()) == []


def test_the_database_is_looked_through_even_where_a_start_would_not(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/headgate.db"
    migrate(url)
    open_database(url).close()
    settings = replace(Settings(), storage=StorageSettings(database=url))
    assert doctoring.check_database(settings).verdict is Verdict.OK
    path = tmp_path / "headgate.db"
    with sqlite3.connect(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'requests'").fetchone()
    connection.close()
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    open_database(url).close()
    finding = doctoring.check_database(settings)
    assert finding.verdict is Verdict.FAILED
    assert "restore a backup" in finding.detail
