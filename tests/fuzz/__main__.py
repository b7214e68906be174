"""The long form of fuzzing: ``python -m tests.fuzz [--minutes 10] [--target NAME …]``, in the fuzzer's environment.

Each target runs under atheris (libFuzzer, guided by coverage of the source) in a process of its own. A finding is kept
in ``tests/fuzz/corpus/<target>/``, where the short form tries it from then on, and makes the exit code 1.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.target import CORPUS, LARGEST, Target, kept_inputs
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
RSS_LIMIT_MB = 1024
"""libFuzzer itself and its inputs take some hundred of it."""
TIMEOUT_S = 30
_COLUMNS = "{:<32} {:>12} {:>8} {:>7} {:>9} {:>7} {:>7}  {}"
_HEADING = _COLUMNS.format("target", "inputs tried", "per s", "edges", "features", "kept", "RSS MB", "finding")


class Result(NamedTuple):
    """What came of one target."""

    executions: int
    seconds: float
    edges: int
    features: int
    inputs: int
    peak_rss_mb: int
    finding: Path | None
    output: str


def fuzz(target: Target, seconds: int) -> Result:
    """Run one target for a time, or until a finding."""
    with tempfile.TemporaryDirectory(prefix="headgate-fuzz-") as place:
        home = Path(place)
        (home / "inputs").mkdir()
        (home / "found").mkdir()
        for number, (_, data) in enumerate(kept_inputs(target)):
            (home / "inputs" / f"{number:04d}").write_bytes(data)
        words = ["".join(rf"\x{byte:02x}" for byte in token) for token in target.tokens]
        (home / "words").write_text("".join(f'"{word}"\n' for word in words))
        command = [sys.executable, "-m", "tests.fuzz.libfuzzer", target.name, f"-max_total_time={seconds}"]
        command += [f"-max_len={LARGEST}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={RSS_LIMIT_MB}"]
        command += [f"-dict={home}/words", f"-artifact_prefix={home}/found/", "-print_final_stats=1"]
        began = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        done = subprocess.run(
            [*command, str(home / "inputs")],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        finding = _keep(target, sorted((home / "found").iterdir()))
        return _read(done.stdout, time.monotonic() - began, finding, failed=done.returncode != 0)


def _keep(target: Target, found: Sequence[Path]) -> Path | None:
    """Keep what libFuzzer found as an input that is tried from now on."""
    if not found:
        return None
    data = found[0].read_bytes()
    kept = CORPUS / target.name / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return kept


def _read(output: str, seconds: float, finding: Path | None, *, failed: bool) -> Result:
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", output)
    edges, features, inputs = (int(figure) for figure in (last[-1] if last else (0, 0, 0)))
    if failed and finding is None:
        raise RuntimeError("the fuzzer did not run:\n" + output[-4000:])
    return Result(
        executions=_figure(output, "number_of_executed_units"),
        seconds=seconds,
        edges=edges,
        features=features,
        inputs=inputs,
        peak_rss_mb=_figure(output, "peak_rss_mb"),
        finding=finding,
        output=output,
    )


def _figure(output: str, name: str) -> int:
    found = re.search(rf"stat::{name}:\s+(\d+)", output)
    return int(found[1]) if found else 0


def _row(name: str, result: Result) -> str:
    return _COLUMNS.format(
        name,
        f"{result.executions:,}",
        f"{result.executions / result.seconds:,.0f}",
        f"{result.edges:,}",
        f"{result.features:,}",
        f"{result.inputs:,}",
        result.peak_rss_mb,
        result.finding.name if result.finding else "none",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this one; may be given again")
    arguments = parser.parse_args()
    print(_HEADING)
    findings = 0
    for name in arguments.target or TARGETS:
        result = fuzz(TARGETS[name], int(arguments.minutes * 60))
        print(_row(name, result), flush=True)
        if result.finding is not None:
            findings += 1
            print(result.output[-3000:], flush=True)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
