"""What the fields of management requests may hold, said twice: to the API's decoder and to every other caller."""

import msgspec
import pytest

from headgate.control import checks
from headgate.domain.access import ManagedBy
from headgate.domain.errors import (
    ConflictError,
    PreconditionFailedError,
    ProvisionedReadOnlyError,
    ValidationFailedError,
)


@pytest.mark.parametrize(
    ("kind", "check", "value", "fits"),
    [
        (checks.Slug, checks.check_slug, "a", True),
        (checks.Slug, checks.check_slug, "team-1", True),
        (checks.Slug, checks.check_slug, "a" * 63, True),
        (checks.Slug, checks.check_slug, "a" * 64, False),
        (checks.Slug, checks.check_slug, "A", False),
        (checks.Slug, checks.check_slug, "-a", False),
        (checks.Slug, checks.check_slug, "", False),
        (checks.Name, checks.check_name, "Ünï 名", True),
        (checks.Name, checks.check_name, "", False),
        (checks.Name, checks.check_name, "a\x00b", False),
        (checks.Name, checks.check_name, "a\r\nb", False),
        (checks.Name, checks.check_name, "x" * 200, True),
        (checks.Name, checks.check_name, "x" * 201, False),
        (checks.Email, checks.check_email, "a@b", True),
        (checks.Email, checks.check_email, "a", False),
        (checks.Email, checks.check_email, "a@b\x00", False),
    ],
)
def test_decoder_and_check_agree(kind, check, value, fits):
    def decoded() -> bool:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return False
        return True

    def checked() -> bool:
        try:
            check(value)
        except ValidationFailedError:
            return False
        return True

    assert decoded() == checked() == fits


def test_models_lose_repetitions_and_keep_their_order():
    assert checks.check_models(["b", "a", "b"]) == ("b", "a")


def test_tags_come_sorted():
    assert checks.check_tags({"b": "2", "a": "1"}) == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize("priority", ["critical", "normal", "low"])
def test_a_key_may_have_a_priority(priority):
    assert checks.check_tags({"headgate.priority": priority}) == (("headgate.priority", priority),)


@pytest.mark.parametrize("priority", ["urgent", "Critical", "low "])
def test_a_priority_that_does_not_exist_is_named(priority):
    with pytest.raises(ValidationFailedError, match="`critical`, `normal`, `low`") as refused:
        checks.check_tags({"headgate.priority": priority})
    assert refused.value.param == "tags.headgate.priority"


def test_a_version_is_asked_for_only_where_one_is_named():
    checks.check_version(None, 3)
    checks.check_version(3, 3)
    with pytest.raises(PreconditionFailedError):
        checks.check_version(2, 3)


def test_only_the_files_rows_are_read_only():
    for managed_by in (ManagedBy.API, ManagedBy.APPLY):
        checks.refuse_file_managed(managed_by)
    with pytest.raises(ProvisionedReadOnlyError):
        checks.refuse_file_managed(ManagedBy.FILE)


def test_a_conflict_names_its_field():
    checks.refuse_conflict(False, "free", "slug")
    with pytest.raises(ConflictError) as refused:
        checks.refuse_conflict(True, "taken", "slug")
    assert refused.value.param == "slug"


@pytest.mark.parametrize("time_zone", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia"])
def test_a_time_zone_of_the_database_is_kept(time_zone):
    assert checks.check_time_zone(time_zone) == time_zone


@pytest.mark.parametrize("time_zone", ["", "Europe", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "a\x00b"])
def test_any_other_word_is_no_time_zone(time_zone):
    with pytest.raises(ValidationFailedError) as refused:
        checks.check_time_zone(time_zone)
    assert refused.value.param == "time_zone"


def test_a_digest_is_64_hexadecimal_digits_and_a_wrong_one_is_not_shown():
    assert checks.check_secret_sha256("0aF1" * 16) == bytes.fromhex("0af1" * 16)
    for wrong in ("0af1" * 15, "0af1" * 17, "sk-" + "a" * 61, "0af1" * 16 + "\n"):
        with pytest.raises(ValidationFailedError) as caught:
            checks.check_secret_sha256(wrong)
        assert caught.value.param == "secret_sha256"
        assert wrong.strip() not in str(caught.value)
