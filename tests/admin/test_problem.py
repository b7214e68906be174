"""Problems as RFC 9457 has them."""

import msgspec

from headgate.admin.problem import problem_of
from headgate.domain.errors import ConfigFinding, ConfigRejectedError, ProvisionedReadOnlyError, ValidationFailedError


def test_a_problem_says_all_of_an_error():
    problem = problem_of(ValidationFailedError("There is no field `x` here.", param="x"), "req_1")
    assert msgspec.to_builtins(problem) == {
        "type": "https://headgate.dev/docs/reference/errors#validation_failed",
        "title": "Validation failed",
        "status": 422,
        "detail": "There is no field `x` here.",
        "code": "validation_failed",
        "param": "x",
        "request_id": "req_1",
        "doc_url": "https://headgate.dev/docs/reference/errors#validation_failed",
    }


def test_the_title_is_the_kind_and_the_detail_the_case():
    first, second = (problem_of(ProvisionedReadOnlyError(words), "r") for words in ("one", "two"))
    assert first.title == second.title == "Provisioned read only"
    assert (first.detail, second.detail) == ("one", "two")


def test_a_rejected_configuration_lists_its_findings():
    finding = ConfigFinding(file="headgate.yaml", line=3, path="models[0].alias", message="unknown key")
    problem = msgspec.json.decode(msgspec.json.encode(problem_of(ConfigRejectedError("No.", (finding,)), "req_1")))
    assert (problem["status"], problem["code"]) == (422, "config_rejected")
    assert problem["findings"] == [
        {"file": "headgate.yaml", "line": 3, "path": "models[0].alias", "message": "unknown key"}
    ]
