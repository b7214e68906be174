"""Labels: what an answer can be purged by, and that no tenant's label is another's."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.cache.key import entry_id
from headgate.cache.labels import LabelKind, label_of, labels_of
from headgate.domain.access import ScopeKind, ScopeRef, VirtualKey

PATH = (
    ScopeRef(ScopeKind.ORGANIZATION, "org_a", "acme"),
    ScopeRef(ScopeKind.TEAM, "team_a", "ml"),
    ScopeRef(ScopeKind.PROJECT, "proj_a", "search"),
)
KEY = VirtualKey(id="key_a", name="prod", path=PATH, models=("*",))
CACHE_KEY = bytes(range(32))


def test_an_answer_bears_the_label_of_everything_it_can_be_purged_by() -> None:
    assert labels_of(KEY, "gpt-4o", (("job", "nightly"), ("a", "b=c")), CACHE_KEY) == (
        "org_a",
        "org_a scope team_a",
        "org_a scope proj_a",
        "org_a key key_a",
        "org_a model gpt-4o",
        "org_a tag job=nightly",
        "org_a tag a=b=c",
        f"org_a entry {entry_id(CACHE_KEY)}",
    )


def test_a_purge_names_the_labels_that_answers_bear() -> None:
    labels = labels_of(KEY, "gpt-4o", (("job", "nightly"),), CACHE_KEY)
    asked = [
        label_of("org_a"),
        *(label_of("org_a", LabelKind.SCOPE, step.id) for step in PATH[1:]),
        label_of("org_a", LabelKind.KEY, "key_a"),
        label_of("org_a", LabelKind.MODEL, "gpt-4o"),
        label_of("org_a", LabelKind.TAG, "job=nightly"),
        label_of("org_a", LabelKind.ENTRY, entry_id(CACHE_KEY)),
    ]
    assert set(asked) == set(labels)


@given(st.sampled_from([None, *LabelKind]), st.text(), st.text())
def test_whatever_is_named_a_label_of_one_organization_is_no_answers_of_another(
    kind: LabelKind | None, name: str, model: str
) -> None:
    # An id has no space, so the text up to the first one is the organization, whatever follows.
    labels = labels_of(KEY, model, ((name, model),), CACHE_KEY)
    assert label_of("org_b", kind, name) not in labels
    assert label_of("org_", kind, name) not in labels
    assert {label.partition(" ")[0] for label in labels} == {"org_a"}
