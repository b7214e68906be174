"""The page about the command line says what the commands say."""

from pathlib import Path

from headgate.cli.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"


def test_the_page_is_what_the_commands_print():
    assert PAGE.read_text("utf-8") == reference(), "run: python -m headgate.cli.reference > docs/reference/cli.md"


def test_every_command_of_the_contract_is_there():
    page = reference()
    for command in (
        *("serve", "demo", "check-config", "migrate", "apply", "usage", "requests list", "requests show"),
        *("keys create", "keys rotate", "keys revoke", "keys list", "prices update", "doctor", "import litellm"),
        *("keys status", "budgets list", "budgets create", "budgets update", "budgets delete"),
        *("limits list", "limits set", "limits clear", "ledger verify", "ledger adjust"),
        *("cache stats", "cache purge"),
    ):
        assert f"## `headgate {command}`" in page
