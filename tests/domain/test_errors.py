"""The error tree."""

import re

from headgate.domain import errors


def leaves() -> list[type[errors.HeadgateError]]:
    return [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.HeadgateError) and each is not errors.HeadgateError
    ]


def test_every_error_has_a_code_of_its_own_named_after_its_class() -> None:
    codes = [each.code for each in leaves()]
    assert len(set(codes)) == len(codes)
    for each in leaves():
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", each.__name__.removesuffix("Error")).lower()
        assert each.code in (words, f"{words}_error")


def test_the_picture_at_the_top_shows_every_error() -> None:
    picture = errors.__doc__ or ""
    for each in leaves():
        assert re.search(rf"{each.__name__} +{each.status} {each.code}\b", picture), each.__name__


def test_an_error_points_to_its_page() -> None:
    assert errors.BodyTooLargeError("large").doc_url.endswith("#body_too_large")
