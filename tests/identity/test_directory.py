"""The key directory against a plain dict, whatever the order of changes."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headgate.domain.access import ScopeKind, ScopeRef, VirtualKey
from headgate.domain.residency import ResidencyPolicy, narrow
from headgate.identity.directory import KeyDirectory, KeyEntry, ScopeEntry

ORG = ScopeEntry("org_1", ScopeKind.ORGANIZATION, "acme")
TEAM = ScopeEntry("team_1", ScopeKind.TEAM, "ml", "org_1")
PROJECT = ScopeEntry("proj_1", ScopeKind.PROJECT, "search", "team_1")
SCOPES = (ORG, TEAM, PROJECT)


def digest_of(name: object) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()


def entry(name: object, scope_id: str = "team_1", **fields: object) -> KeyEntry:
    return KeyEntry(f"key_{name}", str(name), scope_id, ("*",), **fields)


def directory_of(count: int) -> KeyDirectory:
    keys = sorted((digest_of(number), entry(number)) for number in range(count))
    return KeyDirectory.build(keys, SCOPES)


def expected_key(key: KeyEntry, scopes: dict[str, ScopeEntry]) -> VirtualKey:
    steps, blocked, residency, scope_id = [], key.blocked, key.residency, key.scope_id
    while scope_id is not None:
        scope = scopes[scope_id]
        steps.insert(0, ScopeRef(scope.kind, scope.id, scope.slug))
        blocked = blocked or scope.blocked
        residency = narrow(scope.residency, residency)
        scope_id = scope.parent_id
    facts = (key.id, key.name, tuple(steps), key.models, key.sandbox, key.tags, key.expires_at_ms)
    return VirtualKey(*facts, blocked, residency)


# Few digests, some of which share their first bits: changes then meet each other and buckets hold several keys.
DIGESTS = [digest_of(number) for number in range(12)]
DIGESTS += [DIGESTS[0][:8] + bytes([number]) + DIGESTS[0][9:] for number in range(4)]
digests = st.sampled_from(DIGESTS)
policies = st.none() | st.builds(
    ResidencyPolicy,
    jurisdictions=st.none() | st.sampled_from([("eu",), ("us", "eu")]),
    max_retention_days=st.none() | st.integers(0, 2),
)
entries = st.builds(
    KeyEntry,
    id=st.sampled_from(["key_a", "key_b", "key_c"]),
    name=st.text(max_size=5),
    scope_id=st.sampled_from([scope.id for scope in SCOPES]),
    models=st.lists(st.text(max_size=3), max_size=2).map(tuple),
    sandbox=st.booleans(),
    tags=st.lists(st.tuples(st.text(max_size=2), st.text(max_size=2)), max_size=2).map(tuple),
    expires_at_ms=st.none() | st.integers(0, 2**62),
    blocked=st.booleans(),
    residency=policies,
)


class DirectoryMachine(RuleBasedStateMachine):
    """Every earlier directory is kept: a change must leave them as they were."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = KeyDirectory.build((), SCOPES)
        self.keys: dict[bytes, KeyEntry] = {}
        self.scopes = {scope.id: scope for scope in SCOPES}
        self.history: list[tuple[KeyDirectory, dict[bytes, KeyEntry], dict[str, ScopeEntry]]] = []

    def change(self, make: Callable[[KeyDirectory], KeyDirectory]) -> None:
        self.history.append((self.directory, dict(self.keys), dict(self.scopes)))
        self.directory = make(self.directory)

    @rule(digest=digests, key=entries)
    def add(self, digest, key):
        self.change(lambda directory: directory.with_key(digest, key))
        self.keys[digest] = key

    @rule(keys=st.dictionaries(digests, entries, max_size=5))
    def add_several(self, keys):
        self.change(lambda directory: directory.with_keys(keys.items()))
        self.keys.update(keys)

    @rule(digest=digests)
    def remove(self, digest):
        self.change(lambda directory: directory.without(digest))
        self.keys.pop(digest, None)

    @rule(scope=st.sampled_from(SCOPES), blocked=st.booleans(), slug=st.text(max_size=3), residency=policies)
    def change_scope(self, scope, blocked, slug, residency):
        changed = ScopeEntry(scope.id, scope.kind, slug, scope.parent_id, blocked, residency)
        self.change(lambda directory: directory.with_scope(changed))
        self.scopes[scope.id] = changed

    @rule()
    def compact(self):
        self.change(KeyDirectory.compacted)
        assert self.directory.overlay_size == 0

    @rule()
    def rebuild(self):
        scopes = tuple(self.scopes.values())
        self.change(lambda _: KeyDirectory.build(sorted(self.keys.items()), scopes))

    @invariant()
    def says_what_the_dict_says(self):
        assert len(self.directory) == len(self.keys)
        self.check(self.directory, self.keys, self.scopes)
        self.check(self.directory, self.keys, self.scopes)

    def check(self, directory, keys, scopes):
        for digest in DIGESTS:
            key = keys.get(digest)
            assert directory.lookup(digest) == (None if key is None else expected_key(key, scopes))

    def teardown(self):
        for directory, keys, scopes in self.history:
            self.check(directory, keys, scopes)


TestDirectory = DirectoryMachine.TestCase
TestDirectory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 1000])
def test_every_key_of_a_base_is_found_and_no_other(count):
    directory = directory_of(count)
    assert len(directory) == count
    for number in range(count):
        assert directory.lookup(digest_of(number)).id == f"key_{number}"
    for number in range(count, count + 50):
        assert directory.lookup(digest_of(number)) is None
    assert directory.lookup(b"\x00" * 32) is None
    assert directory.lookup(b"\xff" * 32) is None


def test_the_lowest_and_the_highest_digest_are_keys_like_others():
    directory = KeyDirectory.build([(b"\x00" * 32, entry("low")), (b"\xff" * 32, entry("high"))], SCOPES)
    for changed in (directory, directory.with_key(digest_of("x"), entry("x")).compacted()):
        assert changed.lookup(b"\x00" * 32).name == "low"
        assert changed.lookup(b"\xff" * 32).name == "high"


def test_blocking_a_scope_blocks_what_is_below_it_and_nothing_else():
    directory = KeyDirectory.build(
        sorted([(digest_of(scope.id), entry(scope.id, scope.id)) for scope in SCOPES]), SCOPES
    )
    blocked = directory.with_scope(ScopeEntry("team_1", ScopeKind.TEAM, "ml", "org_1", blocked=True))
    assert [blocked.lookup(digest_of(scope.id)).blocked for scope in SCOPES] == [False, True, True]
    assert [directory.lookup(digest_of(scope.id)).blocked for scope in SCOPES] == [False, False, False]


def test_a_key_seen_before_a_change_is_seen_changed_after_it():
    directory = directory_of(10)
    assert directory.lookup(digest_of(3)).name == "3"
    changed = directory.with_key(digest_of(3), entry("three"))
    assert changed.lookup(digest_of(3)).name == "three"
    assert changed.without(digest_of(3)).lookup(digest_of(3)) is None
    assert directory.lookup(digest_of(3)).name == "3"


def test_removing_what_is_not_there_is_the_same_directory():
    directory = directory_of(5)
    assert directory.without(digest_of("nobody")) is directory
    once = directory.without(digest_of(1))
    assert once.without(digest_of(1)) is once
    assert len(once) == 4


def test_a_key_on_an_unknown_scope_is_refused():
    with pytest.raises(ValueError, match="team_nobody"):
        directory_of(0).with_key(digest_of(1), entry(1, "team_nobody"))
    with pytest.raises(ValueError, match="team_nobody"):
        KeyDirectory.build([(digest_of(1), entry(1, "team_nobody"))], SCOPES)


@pytest.mark.parametrize("digest", [b"", b"x" * 31, b"x" * 33])
def test_a_digest_of_another_length_is_refused(digest):
    with pytest.raises(ValueError, match="32 bytes"):
        directory_of(0).with_key(digest, entry(1))


def test_a_base_takes_its_keys_sorted_and_once():
    low, high = sorted([digest_of(1), digest_of(2)])
    for keys in ([(high, entry(1)), (low, entry(2))], [(low, entry(1)), (low, entry(2))]):
        with pytest.raises(ValueError, match="sorted"):
            KeyDirectory.build(keys, SCOPES)


def test_a_write_does_not_touch_the_base():
    directory = directory_of(20_000)
    changed = directory.with_key(digest_of("new"), entry("new")).without(digest_of(1)).with_scope(ORG)
    assert changed._base is directory._base
    assert changed.overlay_size == 2


def test_a_key_takes_little_memory():
    assert directory_of(20_000).nbytes / 20_000 < 120


def test_unpacked_keys_are_kept_within_a_bound(monkeypatch):
    monkeypatch.setattr("headgate.identity.directory.REMEMBERED", 10)
    directory = directory_of(50)
    for number in range(50):
        assert directory.lookup(digest_of(number)).name == str(number)
        assert len(directory._remembered) <= 10


def test_a_policy_of_a_scope_holds_for_what_is_below_it_and_nothing_else():
    directory = KeyDirectory.build(
        sorted([(digest_of(scope.id), entry(scope.id, scope.id)) for scope in SCOPES]), SCOPES
    )
    europe = ResidencyPolicy(jurisdictions=("eu",))
    changed = directory.with_scope(ScopeEntry("team_1", ScopeKind.TEAM, "ml", "org_1", residency=europe))
    assert [changed.lookup(digest_of(scope.id)).residency for scope in SCOPES] == [None, europe, europe]
    assert [changed.residency_of(scope.id) for scope in SCOPES] == [None, europe, europe]
    assert [directory.lookup(digest_of(scope.id)).residency for scope in SCOPES] == [None, None, None]


def test_keys_with_equal_policies_share_one_object():
    def own(days: int) -> ResidencyPolicy:
        return ResidencyPolicy(max_retention_days=days)

    scopes = (ScopeEntry("org_1", ScopeKind.ORGANIZATION, "acme", residency=ResidencyPolicy(no_training=True)), TEAM)
    keys = sorted((digest_of(number), entry(number, residency=own(number % 2))) for number in range(100))
    directory = KeyDirectory.build(keys, scopes)
    changed = directory.with_key(digest_of("new"), entry("new", residency=own(1)))
    for each in (directory, changed, changed.compacted()):
        found = [each.lookup(digest_of(number)).residency for number in range(100)]
        if each is not directory:
            found.append(each.lookup(digest_of("new")).residency)
        assert len({id(policy) for policy in found}) == 2
        assert found[1] == ResidencyPolicy(max_retention_days=1, no_training=True)
    assert len(changed.compacted()._base.policies) == 2
    assert directory.nbytes / 100 < 140
