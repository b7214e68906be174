"""What a kept answer can be purged by.

Every label begins with the organization's id, so nobody purges what another tenant keeps.
"""

from enum import StrEnum

from headgate.cache.key import entry_id
from headgate.domain.access import VirtualKey


class LabelKind(StrEnum):
    """Parts of what an organization keeps."""

    SCOPE = "scope"
    """A team, project or person on the path of the key under which the answer was asked for."""
    KEY = "key"
    MODEL = "model"
    """The alias that was asked for."""
    TAG = "tag"
    """``name=value``."""
    ENTRY = "entry"
    """One answer: `headgate.cache.key.entry_id`."""


def label_of(organization_id: str, kind: LabelKind | None = None, name: str = "") -> str:
    """Return the label of a part, or of all that an organization keeps."""
    return organization_id if kind is None else f"{organization_id} {kind} {name}"


def labels_of(key: VirtualKey, model: str, tags: tuple[tuple[str, str], ...], cache_key: bytes) -> tuple[str, ...]:
    """Return the labels of an answer that was asked for under ``key``."""
    organization = key.path[0].id
    return (
        label_of(organization),
        *[label_of(organization, LabelKind.SCOPE, step.id) for step in key.path[1:]],
        label_of(organization, LabelKind.KEY, key.id),
        label_of(organization, LabelKind.MODEL, model),
        *[label_of(organization, LabelKind.TAG, f"{name}={value}") for name, value in tags],
        label_of(organization, LabelKind.ENTRY, entry_id(cache_key)),
    )
