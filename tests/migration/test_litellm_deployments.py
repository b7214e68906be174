"""The tables of ``litellm_params`` and ``model_info``."""

import pytest

from headgate.migration.litellm_deployments import INFO, PARAMS
from tests.migration.reading import migrate, params


@pytest.mark.parametrize("name", sorted(PARAMS.keys() - {"model"}))
def test_every_param_has_a_verdict_of_its_own(name: str) -> None:
    option = f"model_list[0].litellm_params.{name}"
    reasons = [
        each.reason
        for each in migrate(params(f"model: openai/gpt-4o\n{name}: some-value")).findings
        if each.option in (option, "model_list[0]")
    ]
    assert len(reasons) == 1
    assert "not known" not in reasons[0]


@pytest.mark.parametrize("name", sorted(INFO))
def test_every_word_of_model_info_has_a_verdict_of_its_own(name: str) -> None:
    migration = migrate(params("model: openai/gpt-4o", **{name: "some-value"}))
    (finding,) = (each for each in migration.findings if each.option == f"model_list[0].model_info.{name}")
    assert finding.reason
    assert "not known" not in finding.reason
