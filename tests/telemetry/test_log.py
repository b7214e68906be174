"""Log lines are one JSON object each, whatever a client sends."""

import logging
from collections.abc import Iterator

import msgspec
import pytest

from headgate.telemetry.log import JsonLineFormatter, configure_logging


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def line_of(message: str, **extra: object) -> str:
    record = logging.makeLogRecord(
        {"name": "headgate.test", "msg": message, "levelname": "INFO", "created": 1.5, **extra}
    )
    return JsonLineFormatter().format(record)


def test_a_line_is_json_with_its_extra_members() -> None:
    assert msgspec.json.decode(line_of("hello", request_id="req_1", attempts=3)) == {
        "at": 1.5,
        "level": "info",
        "logger": "headgate.test",
        "message": "hello",
        "request_id": "req_1",
        "attempts": 3,
    }


@pytest.mark.parametrize("text", ["a\r\nINFO forged", "a\nb", "\x1b[31m", "\u2028", '{"level":"error"}'])
def test_no_text_starts_a_line_of_its_own(text: str) -> None:
    line = line_of("model", model=text)
    assert len(line.encode().splitlines()) == 1
    assert msgspec.json.decode(line)["model"] == text


def test_what_json_cannot_hold_is_described() -> None:
    assert "object object" in msgspec.json.decode(line_of("odd", thing=object()))["thing"]


def test_a_failure_carries_its_traceback() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        line = line_of("failed", exc_info=(ValueError, error, error.__traceback__))
    assert "ValueError: broken" in msgspec.json.decode(line)["exception"]


def test_chatty_libraries_stay_quiet_at_debug_level(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("debug")
    logging.getLogger("headgate.test").debug("ours")
    logging.getLogger("sqlalchemy.engine").info("SELECT 'secret'")
    written = capsys.readouterr().err
    assert "ours" in written
    assert "secret" not in written
    assert root_logger.level == logging.DEBUG


def test_an_unknown_level_is_refused(root_logger: logging.Logger) -> None:
    with pytest.raises(ValueError, match="none of debug, info"):
        configure_logging("loud")
