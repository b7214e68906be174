"""How a wrong value of an option is said."""

import pytest
import typer

from headgate.cli.options import taken


def test_what_a_parser_refuses_is_wrong_usage_in_its_words() -> None:
    assert taken("--count", int, "7") == 7
    with pytest.raises(typer.BadParameter) as caught:
        taken("--count", int, "x")
    assert "invalid literal" in caught.value.message
    assert caught.value.param_hint == "--count"
