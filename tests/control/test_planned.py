"""What a run says of itself."""

from headgate.control.planned import ChangeAction, PlannedChange


def test_a_step_does_not_show_its_secret():
    step = PlannedChange(action=ChangeAction.CREATE, kind="key", path="acme/prod", secret="hg_canary")
    assert repr(step) == "PlannedChange(create key acme/prod)"
