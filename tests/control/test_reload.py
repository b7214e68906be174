"""A changed configuration is taken up as a whole or not at all."""

import logging
import threading
from collections.abc import Callable

import pytest

from headgate.audit.event import AuditOutcome
from headgate.control.reload import Candidate, ConfigurationFile, Names, Reloader, rejected
from headgate.domain.access import Role
from headgate.domain.errors import ConfigFinding, ConfigRejectedError, PermissionDeniedError
from headgate.identity.actor import Actor
from headgate.routing.table import Route, RouteTable
from headgate.settings.model import ProvisionedKey, ProvisionedOrganization, Secret
from headgate.snapshot import Configured
from tests.control.conftest import World

SECRET = "a-secret-of-the-file-000000000000001"
FIRST = ConfigurationFile(source="headgate.yaml", sha256="1" * 64)
SECOND = ConfigurationFile(source="headgate.yaml", sha256="2" * 64, needs_restart=("server.listen",))
FINDING = ConfigFinding(file="headgate.yaml", line=7, path="models", message="expected a list")


def routes(*aliases: str) -> RouteTable:
    return RouteTable([Route(alias, off="for the test") for alias in aliases], (), lambda provider, model: ())


def organization(*keys: ProvisionedKey, slug: str = "acme") -> ProvisionedOrganization:
    return ProvisionedOrganization(slug=slug, name=slug.title(), keys=keys)


def key(name: str, secret: str = SECRET) -> ProvisionedKey:
    return ProvisionedKey(name=name, models=("*",), secret=Secret(secret))


def candidate(
    *aliases: str,
    file: ConfigurationFile = SECOND,
    organizations: tuple[ProvisionedOrganization, ...] | None = (),
    adopt: Callable[[], None] = lambda: None,
) -> Candidate:
    return Candidate(
        file=file,
        configured=Configured(routes(*aliases), {}, refuse_unpriced=False),
        organizations=organizations,
        providers=Names(changed=("openai",)),
        models=Names(added=aliases),
        settings=("timeouts.idle",),
        adopt=adopt,
    )


def reject() -> Candidate:
    raise rejected([FINDING, FINDING])


def test_routes_keys_and_providers_are_swapped_at_once(world: World, operator: Actor) -> None:
    adopted: list[int] = []
    made = candidate(
        "gpt-4o",
        organizations=(organization(key("prod")),),
        adopt=lambda: adopted.append(world.snapshots.current.revision),
    )
    seen: list[tuple[int, bool, bool]] = []
    publish = world.snapshots.publish

    def watched(*parts: object) -> None:
        publish(*parts)  # type: ignore[arg-type]
        current = world.snapshots.current
        seen.append((current.revision, world.lookup(SECRET) is not None, current.routes is made.configured.routes))

    world.plane.publisher._hand_out = watched  # what readers could see after every swap
    result = Reloader(world.plane, world.snapshots, lambda: made, FIRST).reload(operator)
    assert seen == [(2, True, True)]
    assert adopted == [2]
    assert (result.revision, result.sha256, result.needs_restart) == (2, "2" * 64, ("server.listen",))
    assert [(step.action.value, step.kind, step.secret) for step in result.organizations] == [
        ("create", "organization", None),
        ("create", "key", None),
    ]
    assert world.snapshots.current.refuse_unpriced is False


def test_a_tree_that_did_not_change_is_not_compared_again(world: World, operator: Actor) -> None:
    reloader = Reloader(
        world.plane, world.snapshots, lambda: candidate(organizations=(organization(key("prod")),)), FIRST
    )
    reloader.reload(operator)
    same = Reloader(world.plane, world.snapshots, lambda: candidate(organizations=None), FIRST)
    assert same.reload(operator).organizations == ()
    assert world.lookup(SECRET) is not None


def test_a_reload_without_changes_is_a_revision_too(world: World, operator: Actor) -> None:
    reloader = Reloader(world.plane, world.snapshots, candidate, FIRST)
    assert [reloader.reload(operator).revision for _ in range(3)] == [2, 3, 4]


def test_the_view_says_what_is_in_use_and_why_the_newest_was_rejected(world: World, operator: Actor) -> None:
    builds = iter((reject, candidate))

    def build() -> Candidate:
        return next(builds)()

    reloader = Reloader(world.plane, world.snapshots, build, FIRST)
    first = reloader.view(operator)
    assert (first.revision, first.source, first.sha256, first.last_rejected) == (1, "headgate.yaml", "1" * 64, None)
    assert first.needs_restart == ()
    world.tick(5_000)
    with pytest.raises(ConfigRejectedError):
        reloader.reload(operator)
    second = reloader.view(operator)
    assert (second.revision, second.sha256, second.loaded_at) == (1, first.sha256, first.loaded_at)
    assert second.last_rejected is not None
    assert second.last_rejected.at != first.loaded_at
    assert "headgate.yaml:7: models: expected a list" in second.last_rejected.message
    reloader.reload(operator)
    third = reloader.view(operator)
    assert (third.revision, third.sha256, third.last_rejected) == (2, "2" * 64, None)
    assert third.needs_restart == ("server.listen",)
    assert third.loaded_at == second.last_rejected.at


def test_a_rejection_says_everything_changes_nothing_and_is_told(
    world: World, operator: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    held = world.snapshots.current
    reloader = Reloader(world.plane, world.snapshots, reject, FIRST)
    with pytest.raises(ConfigRejectedError) as caught:
        reloader.reload(operator)
    assert caught.value.findings == (FINDING, FINDING)
    assert caught.value.message.count("headgate.yaml:7: models: expected a list") == 2
    assert world.snapshots.current is held
    (event,) = world.events()
    assert (event.action, event.outcome, event.reason) == (
        "configuration.reload",
        AuditOutcome.FAILED,
        "config_rejected",
    )
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (line.code, line.revision) == ("config_rejected", 1)  # type: ignore[attr-defined]
    assert line.findings == (str(FINDING), str(FINDING))  # type: ignore[attr-defined]


def test_a_tree_that_contradicts_the_database_rejects_all_of_it(world: World, operator: Actor) -> None:
    scope = world.organization("globex").id
    taken = world.key(scope).secret
    held, events = world.snapshots.current, world.event_count()
    adopted: list[None] = []
    made = candidate(
        "gpt-4o",
        organizations=(organization(key("fine"), key("taken", taken)),),
        adopt=lambda: adopted.append(None),
    )
    with pytest.raises(ConfigRejectedError) as caught:
        Reloader(world.plane, world.snapshots, lambda: made, FIRST).reload(operator)
    (finding,) = caught.value.findings
    assert (finding.file, finding.path) == ("headgate.yaml", "organizations")
    assert "acme" in finding.message
    assert taken not in caught.value.message
    assert world.snapshots.current is held
    assert world.lookup(SECRET) is None
    assert adopted == []
    assert world.event_count() == events + 1
    assert world.events()[0].reason == "config_rejected"


def test_a_failure_of_ours_keeps_the_last_good_one_and_is_shown(
    world: World, operator: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    held = world.snapshots.current

    def fail() -> Candidate:
        raise RuntimeError("a defect")

    reloader = Reloader(world.plane, world.snapshots, fail, FIRST)
    with pytest.raises(RuntimeError):
        reloader.reload(operator)
    shown = reloader.view(operator).last_rejected
    assert shown is not None
    assert "RuntimeError" in shown.message
    assert world.snapshots.current is held
    assert any(record.exc_info for record in caplog.records)


def test_a_reload_is_audited_with_the_file_it_took_up(world: World, operator: Actor) -> None:
    Reloader(world.plane, world.snapshots, candidate, FIRST).reload(operator)
    event = world.events()[0]
    assert (event.action, event.outcome, event.organization_id) == ("configuration.reload", AuditOutcome.ALLOWED, None)
    assert (event.before, event.after) == ({"sha256": "1" * 64}, {"sha256": "2" * 64})


def test_only_the_operator_may_and_others_leave_a_trace(world: World) -> None:
    owner = world.person(world.organization().id, Role.OWNER)
    built: list[None] = []
    reloader = Reloader(world.plane, world.snapshots, lambda: built.append(None) or candidate(), FIRST)
    for act in (reloader.reload, reloader.view):
        with pytest.raises(PermissionDeniedError):
            act(owner)
        assert world.events()[0].outcome is AuditOutcome.DENIED
    assert built == []


def test_reloads_run_one_after_the_other(world: World, operator: Actor) -> None:
    under_way: list[None] = []
    most: list[int] = []
    together = threading.Barrier(4)

    def build() -> Candidate:
        under_way.append(None)
        most.append(len(under_way))
        return candidate(adopt=under_way.clear)

    reloader = Reloader(world.plane, world.snapshots, build, FIRST)
    revisions: list[int] = []

    def reload() -> None:
        together.wait(10)
        revisions.extend(reloader.reload(operator).revision for _ in range(5))

    threads = [threading.Thread(target=reload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 20
    assert sorted(revisions) == list(range(2, 22))
