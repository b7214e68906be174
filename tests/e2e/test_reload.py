"""The configuration of a running gateway is changed: no request fails, and nothing of an unusable file is in use."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.reloads import ALIAS, TARGETS, Changing, Traffic, changing, good, run_reloads, unusable
from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import events_of, hello

RELOADS = 100
SPARE_THREADS = 6


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Changing, FakeOpenAI]]:
    with FakeOpenAI() as fake, changing(tmp_path, fake.url) as running:
        yield running, fake


@pytest.mark.slow
def test_item_o2_reloads_under_load_fail_no_request_and_leave_nothing_open(tmp_path: Path) -> None:
    with contextlib.ExitStack() as upstream:
        fake = upstream.enter_context(FakeOpenAI())
        with changing(tmp_path, fake.url) as running:
            gateway = running.gateway
            running.open_what_is_kept()
            logged = len(gateway.log())
            before = descriptors(gateway.pid)
            with Traffic(gateway.port) as traffic:
                reloads = run_reloads(running, RELOADS)
            assert traffic.failed == []
            assert set(traffic.answered) == {f"{target}/gpt-4o" for target in TARGETS}
            assert sum(not each.accepted for each in reloads) == RELOADS // 10
            upstream.close()
            deadline = time.monotonic() + 20
            while (now := descriptors(gateway.pid)) > before:
                assert time.monotonic() < deadline, f"{before} descriptors became {now}"
                time.sleep(0.05)
            lines = [json.loads(line) for line in gateway.log()[logged:].splitlines() if line.startswith("{")]
            rejections = [line for line in lines if line.get("code") == "config_rejected"]
            assert len(rejections) == RELOADS // 10
            assert all(line["revision"] > 0 and line["findings"] for line in rejections)


def test_a_stream_that_runs_goes_on_by_the_configuration_it_began_with(place: tuple[Changing, FakeOpenAI]) -> None:
    running, fake = place
    with running.gateway.streaming(hello(model="fault-gated", stream=True, user="kept")) as answer:
        assert answer.headers["x-headgate-deployment"] == "east/fault-gated"
        first = answer.readline()
        for usable in (True, False, True, True):
            running.change(usable=usable)
        assert running.target == "west"
        for _ in range(len(WORDS) + 4):
            fake.acknowledge("kept")
        events = events_of(first + answer.read())
        request_id = answer.headers["x-request-id"]
    assert events[-1] == "[DONE]"
    text = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1] if event != "[DONE]"]
    assert "".join(text) == "".join(WORDS)
    record = running.gateway.record(request_id)
    assert (record["outcome"], record["provider"]) == ("ok", "east")


def test_every_kind_of_unusable_file_is_rejected_with_its_place(place: tuple[Changing, FakeOpenAI]) -> None:
    running, fake = place
    file = running.gateway.directory / "headgate.yaml"
    seen: list[tuple[int | None, str]] = []
    for text in unusable(fake.url):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        answer = running.gateway.admin("POST", "/configuration/reload")
        assert answer.status == 422, (text, answer)
        (finding,) = answer.json["findings"]
        assert finding["file"] == str(file)
        seen.append((finding["line"], finding["path"]))
        running.ask_now()
        assert running.view()["last_rejected"]["message"] == answer.json["detail"]
    lines = [(line is not None, path) for line, path in seen]
    assert lines == [
        (True, ""),
        (True, "modles"),
        (True, "models[1]"),
        (True, "providers.bad.kind"),
        (False, "organizations"),
        (False, ""),
    ]


def test_what_a_reload_says_is_what_the_file_says(place: tuple[Changing, FakeOpenAI]) -> None:
    running, fake = place
    text = good(fake.url, "west").replace("drain: 5s", "drain: 6s, listen: 127.0.0.1:1")
    (running.gateway.directory / "headgate.yaml").write_text(text)
    before = running.view()
    answer = running.gateway.admin("POST", "/configuration/reload").json
    assert answer["providers"] == {"added": ["west"], "changed": [], "removed": ["east"]}
    assert answer["models"] == {"added": [], "changed": [ALIAS, "fault-*"], "removed": []}
    # --port wins over the file's `listen`, then as now.
    assert answer["needs_restart"] == ["server.drain"]
    assert [(step["action"], step["kind"], step["path"]) for step in answer["organizations"]] == [
        ("block", "key", "acme/extra")
    ]
    view = running.view()
    assert view["revision"] > before["revision"]
    assert view["sha256"] == answer["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert view["needs_restart"] == ["server.drain"]
    assert running.gateway.request("GET", "/readyz", key=None).json["revision"] == view["revision"]
