"""Residency: what a policy permits, and that levels only ever take away."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.residency import ResidencyPolicy, contradiction, narrow, refuses
from headgate.domain.routing import DataHandling

EUROPE = ResidencyPolicy(jurisdictions=("eu",), regions=("eu-*", "westeurope"), max_retention_days=30, no_training=True)
FINE = DataHandling(region="eu-central-1", jurisdiction="eu", retention_days=30, trains=False)

# Few letters, so that names and beginnings of names meet each other.
names = st.text("ab-", min_size=1, max_size=4)
patterns = names | st.text("ab-", max_size=3).map(lambda text: f"{text}*")
policies = st.none() | st.builds(
    ResidencyPolicy,
    jurisdictions=st.none() | st.lists(st.sampled_from(["eu", "us", "ch"]), max_size=3, unique=True).map(tuple),
    regions=st.none() | st.lists(patterns, max_size=4, unique=True).map(tuple),
    max_retention_days=st.none() | st.integers(0, 3),
    no_training=st.booleans(),
)
handlings = st.builds(
    DataHandling,
    region=st.none() | names,
    jurisdiction=st.none() | st.sampled_from(["eu", "us", "ch"]),
    retention_days=st.none() | st.integers(0, 4),
    trains=st.none() | st.booleans(),
)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"region": "westeurope"}, None),
        ({"retention_days": 0}, None),
        ({"jurisdiction": "us"}, "jurisdiction"),
        ({"region": "us-east-1"}, "region"),
        ({"region": "westeurope-2"}, "region"),
        ({"retention_days": 31}, "retention"),
        ({"trains": True}, "training"),
        ({"jurisdiction": "us", "region": "us-east-1", "trains": True}, "jurisdiction"),
    ],
)
def test_the_first_restriction_that_fails_is_the_reason(change: dict[str, object], why: str | None) -> None:
    assert refuses(EUROPE, msgspec.structs.replace(FINE, **change)) == why


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (ResidencyPolicy(jurisdictions=("eu",)), "jurisdiction"),
        (ResidencyPolicy(regions=("*",)), "region"),
        (ResidencyPolicy(max_retention_days=36_500), "retention"),
        (ResidencyPolicy(no_training=True), "training"),
        (ResidencyPolicy(), None),
        (None, None),
    ],
)
def test_what_nobody_has_said_of_a_target_is_no_yes(policy: ResidencyPolicy | None, why: str | None) -> None:
    assert refuses(policy, DataHandling()) == why


@given(policies, policies, handlings)
def test_two_levels_permit_exactly_what_each_of_them_permits(outer, inner, handling):
    permitted = refuses(outer, handling) is None and refuses(inner, handling) is None
    assert (refuses(narrow(outer, inner), handling) is None) == permitted


@given(policies, policies, policies, handlings)
def test_a_path_permits_the_same_however_its_levels_are_put_together(first, second, third, handling):
    from_outside = refuses(narrow(narrow(first, second), third), handling)
    from_inside = refuses(narrow(first, narrow(second, third)), handling)
    assert from_outside == from_inside


@given(policies)
def test_a_level_without_a_policy_of_its_own_changes_nothing(policy):
    assert narrow(policy, None) is policy
    assert narrow(None, policy) is policy
    assert narrow(policy, policy) == policy


@given(policies, policies, handlings)
def test_where_levels_contradict_each_other_nothing_is_permitted(outer, inner, handling):
    if contradiction(outer, inner) is not None:
        assert refuses(narrow(outer, inner), handling) is not None


@pytest.mark.parametrize(
    ("inner", "field"),
    [
        (ResidencyPolicy(jurisdictions=("us",)), "jurisdictions"),
        (ResidencyPolicy(regions=("us-*",)), "regions"),
        (ResidencyPolicy(jurisdictions=("eu", "us")), None),
        (ResidencyPolicy(regions=("*",)), None),
        (ResidencyPolicy(regions=("eu-central-*",)), None),
        (ResidencyPolicy(max_retention_days=90), None),
        (ResidencyPolicy(), None),
        (None, None),
    ],
)
def test_a_level_contradicts_one_above_where_it_lists_only_what_that_forbids(inner, field):
    assert contradiction(EUROPE, inner) == field
    assert contradiction(None, inner) is None


def test_a_kept_policy_with_a_restriction_that_is_not_known_is_an_error():
    kept = msgspec.json.encode(EUROPE)
    assert msgspec.json.decode(kept, type=ResidencyPolicy) == EUROPE
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"jurisdictions":["eu"],"customer_keys":true}', type=ResidencyPolicy)
