"""The shape of a desired tree."""

import msgspec
import pytest

from headgate.control.apply import ApplyDocument
from headgate.control.desired import DesiredKey, DesiredOrganization


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"organizations": [{"slug": "acme", "budget": []}]}, "budget"),
        ({"organizations": [{"slug": "acme", "budgets": [{"amount_usd": "1"}]}]}, "period"),
        ({"organizations": [{"slug": "acme", "budgets": [{"amount_usd": 1, "period": "day"}]}]}, "amount_usd"),
        ({"organizations": [{"slug": "acme", "rate_limits": {"rpm": -1}}]}, "rpm"),
        ({"organizations": [{"slug": "acme", "tags": [{"budgets": []}]}]}, "name"),
        ({"organizations": [{"slug": "acme", "teams": [{"slug": "ml", "slugg": "x"}]}]}, "slugg"),
        ({"organizations": [{"slug": "Acme"}]}, "slug"),
        ({"organizations": [{"slug": "acme", "keys": [{"name": ""}]}]}, "name"),
        ({"organizations": [{"slug": "acme", "keys": [{"name": "k", "models": []}]}]}, "models"),
        ({"organizations": [{"slug": "acme", "users": [{"email": "a@b", "name": "x", "roles": ["king"]}]}]}, "king"),
        ({"organizations": [{"name": "no slug"}]}, "slug"),
        ({}, "organizations"),
    ],
)
def test_a_document_of_another_shape_is_refused_by_what_is_wrong(document, named):
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.convert(document, ApplyDocument)


def test_only_the_slug_must_be_said():
    organization = msgspec.convert({"slug": "acme"}, DesiredOrganization)
    assert (organization.name, organization.time_zone, organization.blocked) == (None, "UTC", None)


def test_a_secret_does_not_show_itself():
    assert "hush" not in repr(DesiredKey(name="k", secret="hush"))
    assert "hush" not in repr(DesiredOrganization(slug="a", keys=(DesiredKey(name="k", secret="hush"),)))
