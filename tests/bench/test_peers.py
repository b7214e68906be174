"""What can be said of the peers without running them: locks, requests, verdicts."""

import json
import re
from pathlib import Path

import pytest

from bench.load import Streamed, Whole, prepare, streamed_command, whole_command
from bench.peers.gateways import PEERS
from bench.peers.install import LOCKS, without_addresses
from bench.peers.results import BARS, Run, figures, reason, results, verdicts
from bench.report import Measured
from bench.targets import Target, request_body


def measured(name: str, *cpu_us: float, errors: int = 0) -> Measured:
    """Build figures of one round an item of ``cpu_us``."""
    whole = [Whole(1000.0, cpu, 500.0, 900.0, errors) for cpu in cpu_us]
    streamed = [Streamed(100.0, cpu * 10, 1500.0, 0, 51.0) for cpu in cpu_us]
    return Measured(name, dict.fromkeys((1, 8, 32, 64), whole), streamed, 50_000_000, 0.0)


@pytest.mark.parametrize("name", ["litellm", "tensorzero"])
def test_the_pip_locks_pin_by_hash_and_hold_no_address(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text("utf-8")
    pins = re.findall(r"^[a-z0-9].*", text, re.MULTILINE)

    assert "://" not in text
    assert pins
    assert not [pin for pin in pins if not re.match(r"[a-z0-9._-]+==[^ ]+ .*\\$", pin)]


def test_the_npm_lock_pins_by_hash_and_holds_no_address() -> None:
    text = (LOCKS / "package-lock.json").read_text("utf-8")
    packages = json.loads(text)["packages"]

    assert "://" not in text
    assert "omit-lockfile-registry-resolved=true" in (LOCKS / ".npmrc").read_text("utf-8")
    assert packages["node_modules/@hono/node-server"]["version"] == "1.13.8"
    assert not [name for name, package in packages.items() if name and "integrity" not in package]


def test_only_addresses_are_taken_from_an_npm_lock() -> None:
    package = {"version": "1.0.0", "integrity": "sha512-x", "dependencies": {"b": "^1"}}
    noisy = package | {"resolved": "x", "funding": {"url": "x"}, "deprecated": "x"}

    assert without_addresses({"lockfileVersion": 3, "packages": {"a": noisy}}) == {
        "lockfileVersion": 3,
        "packages": {"a": package},
    }


def test_every_peer_has_a_bar_and_a_pinned_version() -> None:
    assert [peer.name for peer in PEERS] == [bar.peer for bar in BARS]
    assert all(re.match(r"\d+\.\d+", peer.version()) for peer in PEERS)


@pytest.mark.parametrize("model", ["bench-model", "tensorzero::model_name::bench-model"])
def test_a_request_has_its_size_whatever_the_model_is_called(model: str) -> None:
    body = request_body(stream=False, model=model)

    assert len(body) == 907
    assert json.loads(body)["model"] == model


def test_a_slow_target_is_measured_twice_as_long_and_may_be_late(tmp_path: Path) -> None:
    slow, quick = Target("slow", 1, None, slow=True), Target("quick", 2, None)

    assert "-d4s" in whole_command(tmp_path, slow, 32, 2)
    assert "--timeout" in whole_command(tmp_path, slow, 32, 2)
    assert "-d2s" in whole_command(tmp_path, quick, 32, 2)
    assert "--timeout" not in whole_command(tmp_path, quick, 32, 2)
    assert streamed_command(tmp_path, slow, 32, 2)[4] == "4"


def test_headers_of_a_target_are_sent_with_both_loads(tmp_path: Path) -> None:
    target = Target("one", 1, None, headers=(("x-a", "1"), ("x-b", "2")))
    prepare(tmp_path, target)

    assert 'wrk.headers["x-a"] = "1"\nwrk.headers["x-b"] = "2"\n' in (tmp_path / "one.lua").read_text()
    assert streamed_command(tmp_path, target, 1, 1)[-1] == "x-a: 1\r\nx-b: 2\r\n"


def test_a_bar_is_judged_by_the_median_of_the_rounds_own_ratios() -> None:
    ours = measured("headgate", 100.0, 200.0, 100.0)
    # By medians of the figures it would be 60; by each round's own ratio it is 61.
    litellm = measured("litellm", 6000.0, 12400.0, 6100.0)
    portkey = measured("portkey", 700.0, 1400.0, 700.0, errors=1)

    lines = verdicts([ours, litellm, portkey], {"tensorzero": "no wheel for this machine"})

    assert "LiteLLM, c=32: **met**, 61.00 (60.00–62.00)" in lines[0]
    assert "Portkey, c=32: **missed**, 7.00 (7.00–7.00); 12 of Portkey's answers were errors" in lines[1]
    assert "TensorZero, c=32: **not measured** (no wheel for this machine)" in lines[2]


def test_a_peer_without_figures_has_a_column_and_the_reason() -> None:
    table = figures([measured("headgate", 100.0)], {"portkey": "node and npm are not installed"})

    assert re.search(r"^\| +\| headgate +\| portkey +\|$", table, re.MULTILINE)
    assert re.search(r"^\| CPU µs per request, c=32 +\| 100\.0 .* \| not measured +\|$", table, re.MULTILINE)
    assert table.endswith("portkey was not measured: node and npm are not installed")


@pytest.mark.parametrize(
    ("error", "short"),
    [
        ("a\nb\nImportError: no x", "ImportError: no x"),
        ("could not fetch http" + "s://a.example/x from /home/me/env and/or b", "could not fetch … from … and/or b"),
        ("", "no reason given"),
    ],
)
def test_a_reason_is_one_line_without_addresses_and_folders(error: str, short: str) -> None:
    assert reason(error) == short


def test_few_rounds_are_called_a_look() -> None:
    run = Run("machine x", 2, 1, {"nginx": "1.2"}, {"litellm": "no key"}, ["wrk -t1"])
    page = results(run, [measured("headgate", 1.0), measured("litellm", 70.0)], {})

    assert "a look, not a figure" in page
    assert "a look, not a figure" not in results(run._replace(rounds=5), [measured("headgate", 1.0)], {})
    assert "**litellm**: no key." in page
    assert "\nwrk -t1\n" in page
