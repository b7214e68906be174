"""The table of LiteLLM's sections."""

import pytest

from headgate.migration.finding import Outcome, Verdict
from headgate.migration.litellm_settings import OPTIONS, SECTIONS
from tests.migration.reading import migrate, of

READ_BY_OPTION = {"environment_variables", "general_settings", "litellm_settings", "router_settings"}


def test_every_row_is_in_a_section_that_is_read_by_option() -> None:
    assert {path.partition(".")[0] for path in OPTIONS} == READ_BY_OPTION
    assert not SECTIONS.keys() & READ_BY_OPTION


def test_every_row_gives_a_reason_and_those_not_built_say_what_is_lost() -> None:
    for path, row in (OPTIONS | SECTIONS).items():
        if isinstance(row, Verdict):
            assert row.reason, path
            assert not row.reason.startswith("not built yet") or "; " in row.reason or ": " in row.reason, path


@pytest.mark.parametrize("path", sorted(path for path in OPTIONS if not path.endswith("*")))
def test_every_row_is_found_by_its_path(path: str) -> None:
    section, _, option = path.partition(".")
    finding = of(migrate(f"{section}:\n  {option}: some-value\n"), path)
    assert finding.line == 2
    assert "not known" not in finding.reason


def test_what_has_no_row_is_refused_as_not_known() -> None:
    migration = migrate("litellm_settings: {brand_new: 1}\nbrand_new_section: [1]\n")
    for option in ("litellm_settings.brand_new", "brand_new_section"):
        finding = of(migration, option)
        assert (finding.outcome, finding.reason[:9]) == (Outcome.REFUSED, "not known")
