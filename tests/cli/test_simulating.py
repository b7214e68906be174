"""``headgate simulate``: real files, a real process, and records of a real gateway."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.simulation.trace import read_trace
from tests.cli.gateway import chat, headgate, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples" / "routing"
PRIORITY, BALANCED = str(EXAMPLES / "priority.yaml"), str(EXAMPLES / "balanced.yaml")


def simulated(directory: Path, *arguments: str) -> Any:
    done = headgate("simulate", *arguments, "--json", cwd=directory)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_examples_are_compared_and_the_traffic_says_that_it_is_synthetic(tmp_path: Path):
    files = ("--against", PRIORITY, "--policy", BALANCED, "--synthetic", "--limit", "300")
    done = headgate("simulate", *files, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SYNTHETIC traffic, nobody ever sent it" in done.stdout
    assert "cost USD" in done.stdout
    assert "count as on: azure_eu, cerebras, groq, novita, openai" in done.stdout
    made = simulated(tmp_path, *files)
    assert made["trace"]["is_synthetic"] is True
    assert made["policy"]["answered"]["requests"] == len(made["policy"]["answered"]["ids"]) == 300
    assert made["changes"]["requests"] > 0
    assert made == simulated(tmp_path, *files)


def test_a_file_is_replayed_and_against_itself_nothing_changes(tmp_path: Path):
    saved = tmp_path / "trace.jsonl.gz"
    files = ("--against", PRIORITY, "--policy", PRIORITY)
    made = simulated(tmp_path, *files, "--synthetic", "--limit", "200", "--save", str(saved))
    assert made["changes"]["requests"] == 0
    assert len(read_trace(saved).rows) == 200
    again = simulated(tmp_path, *files, "--trace", str(saved))
    assert again == made


def test_the_configuration_of_the_directory_is_compared_with_where_none_is_named(tmp_path: Path):
    (tmp_path / "headgate.yaml").write_text(Path(PRIORITY).read_text())
    made = simulated(tmp_path, "--policy", BALANCED, "--synthetic", "--limit", "20")
    assert made["against"]["file"] == "headgate.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 6])
def test_balanced_costs_a_fifth_less_at_no_worse_p95_on_the_example(tmp_path: Path, seed: int):
    assert "balance:" not in Path(BALANCED).read_text(), "it is the default weights that are promised"
    files = ("--against", PRIORITY, "--policy", BALANCED)
    made = simulated(tmp_path, *files, "--synthetic", "--seed", str(seed))
    assert made["difference"]["cost_percent"] <= -20
    assert made["difference"]["latency_p95_ms"] <= 0
    assert made["policy"]["answered"]["requests"] == made["trace"]["requests"] == 20_000


def test_records_of_a_gateway_are_replayed(gateway: tuple[str, Path], cli: Callable[..., Any], tmp_path: Path):
    url, _ = gateway
    key = cli("keys", "create", "simulated", "--scope", "default/default", "--sandbox")
    assert chat(url, key["secret"]) == 200
    (found,) = wait_for(lambda: cli("requests", "list", "--key", key["id"])["data"])
    now, other = tmp_path / "now.yaml", tmp_path / "other.yaml"
    now.write_text("providers: {sandbox: {kind: sandbox}}\n")
    other.write_text("providers: {elsewhere: {kind: sandbox}}\n")
    made = cli("simulate", "--from-records", "--against", str(now), "--policy", str(other))
    assert made["trace"]["is_synthetic"] is False
    assert made["trace"]["recorded_cost_usd"] == made["against"]["cost_usd"]
    assert found["id"] in made["against"]["answered"]["ids"]
    assert found["id"] in made["changes"]["newly_refused"]["ids"]
    late = ("--from", "2099-01-01T00:00:00Z")
    words = cli("simulate", "--from-records", *late, "--against", str(now), "--policy", str(other), code=1)
    assert "no request to replay" in words


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("trace", '{"id": "r"}\n', "trace: line 1: "),
        ("policy", "models:\n  - alyas: m\n", "policy:2: "),
        ("against", "models: [", "against:2: "),
    ],
)
def test_bad_input_is_said_with_its_line(tmp_path: Path, name: str, text: str, words: str):
    files = {"policy": BALANCED, "against": PRIORITY, "trace": str(tmp_path / "trace")}
    (tmp_path / "trace").write_text('{"id": "r", "at_ms": 1, "model": "m", "input_tokens": 1}\n')
    files[name] = str(tmp_path / name)
    (tmp_path / name).write_text(text)
    done = headgate("simulate", *(part for each, file in files.items() for part in (f"--{each}", file)), cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stdout == ""


def test_missing_files_fail_and_contradictions_are_wrong_usage(tmp_path: Path):
    both = ("--policy", BALANCED, "--against", PRIORITY)
    cases = (
        (("--policy", BALANCED, "--synthetic"), 1, "headgate.yaml"),
        ((*both, "--trace", "none"), 1, "none: cannot be read"),
        ((*both, "--synthetic", "--save", "none/t"), 1, "none/t: No such file"),
        (both, 2, "exactly one"),
        ((*both, "--synthetic", "--from-records"), 2, "exactly one"),
        ((*both, "--synthetic", "--from", "2026-01-01T00:00:00Z"), 2, "--from"),
        (("--synthetic",), 2, "--policy"),
    )
    for arguments, code, words in cases:
        done = headgate("simulate", *arguments, cwd=tmp_path)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
