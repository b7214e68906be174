from pathlib import Path

from headgate.providers.reference import render

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "providers.md"


def test_the_page_is_what_the_tables_say():
    assert PAGE.read_text() == render(), "write it again: python -m headgate.providers.reference > " + PAGE.name
