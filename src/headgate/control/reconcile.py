"""Making the rows what a desired tree says, in one transaction, with a list of what that took.

The configuration file and `headgate apply` are the two that do it. Each owns the rows it made (``managed_by``): what it
names no more is dealt with, what others made is left alone. The file's rows are nobody else's to change.
"""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import select

from headgate.control import checks
from headgate.control.desired import (
    DesiredKey,
    DesiredOrganization,
    DesiredProject,
    DesiredTeam,
    DesiredUser,
)
from headgate.control.key_rows import KeyRow, find_live_key, key_of
from headgate.control.keys import add_key, check_new_digest, end_key, given_digest, write_key
from headgate.control.plane import Change
from headgate.control.planned import ChangeAction, PlannedChange
from headgate.control.reconcile_limits import LimitReconciler
from headgate.control.residency import Residency, check_residency
from headgate.control.scopes import add_scope, remove_scope, write_scope
from headgate.control.timestamps import parse_time
from headgate.control.tree import ScopeRow, find_by_slug, holds_anything, path_of, scope_of, visible
from headgate.control.users import (
    RoleBinding,
    add_binding,
    add_user,
    bindings_of,
    email_of,
    find_user_by_email,
    refuse_unfit_grant,
    remove_binding,
)
from headgate.domain.access import ManagedBy, Permission, ScopeKind
from headgate.domain.errors import HeadgateError
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.actor import may
from headgate.identity.secrets import hint_of
from headgate.storage.tables import scopes, virtual_keys

P = Permission


class Absent(StrEnum):
    """What becomes of rows that their owner names no more."""

    LEAVE = "leave"
    BLOCK = "block"
    PRUNE = "prune"
    """Revoked or deleted; a scope that cannot be deleted, and every person, is blocked."""


class Reconciler:
    """One run over one desired tree."""

    def __init__(self, current: Change, manager: ManagedBy, absent: Absent) -> None:
        """Work within ``current``, own rows as ``manager``."""
        self.changes: list[PlannedChange] = []
        self._current = current
        self._manager = manager
        self._absent = absent
        self._named: set[str] = set()
        self._place = ""
        """Where in the tree the run is: an error says so."""
        self._limits = LimitReconciler(current, manager, self.changes.append, self._at)

    def run(self, organizations: Sequence[DesiredOrganization]) -> tuple[PlannedChange, ...]:
        """Make every difference good and return them in order.

        Raises:
            HeadgateError: of a kind that says why, with the place in the tree at the head of its words.
        """
        try:
            for organization in organizations:
                self._organization(organization)
            if self._absent is not Absent.LEAVE:
                self._end_absent_keys()
                self._end_absent_scopes()
            self._limits.finish(end_absent=self._absent is not Absent.LEAVE)
        except HeadgateError as error:
            raise type(error)(f"{self._place}: {error.message}", param=error.param, reason=error.reason) from error
        return tuple(self.changes)

    def _at(self, path: str) -> None:
        self._place = path

    def _organization(self, desired: DesiredOrganization) -> None:
        self._place = desired.slug
        current = self._current
        present = find_by_slug(current.connection, None, ScopeKind.ORGANIZATION, desired.slug)
        path = path_of(current.connection, present)
        if path is None or not may(current.actor, P.SCOPES_READ, path):
            # Another tenant's slug is refused in the words of one that nobody has.
            current.allow(P.ORGANIZATIONS_WRITE, (), noun="installation", seen_by=P.SCOPES_READ)
        elif present is not None:
            current.allow(P.APPLY, path, noun="organization", seen_by=P.SCOPES_READ)
            residency = _residency(present.residency, desired.residency)
            wanted = (desired.name or desired.slug, desired.time_zone, residency)
            if wanted != (present.name, present.time_zone, present.residency):
                current.allow(P.ORGANIZATIONS_WRITE, path, noun="organization", seen_by=P.SCOPES_READ)
            if desired.blocked not in (None, present.blocked):
                current.allow(P.ORGANIZATIONS_WRITE, (), noun="installation", seen_by=P.SCOPES_READ)
        scope = self._scope(ScopeKind.ORGANIZATION, None, desired, present, desired.slug)
        self._limits.scope(scope, desired, desired.slug)
        self._keys(scope, desired.keys, desired.slug)
        for user in desired.users:
            self._user(scope, user, f"{desired.slug}/{user.email}")
        for team in desired.teams:
            self._team(scope, team, f"{desired.slug}/{team.slug}")

    def _team(self, organization: ScopeRow, desired: DesiredTeam, path: str) -> None:
        self._place = path
        connection = self._current.connection
        present = find_by_slug(connection, organization.id, ScopeKind.TEAM, desired.slug)
        scope = self._scope(ScopeKind.TEAM, organization, desired, present, path)
        self._limits.scope(scope, desired, path)
        self._keys(scope, desired.keys, path)
        for project in desired.projects:
            self._place = place = f"{path}/{project.slug}"
            present = find_by_slug(connection, scope.id, ScopeKind.PROJECT, project.slug)
            made = self._scope(ScopeKind.PROJECT, scope, project, present, place)
            self._limits.scope(made, project, place)
            self._keys(made, project.keys, place)

    def _scope(
        self,
        kind: ScopeKind,
        parent: ScopeRow | None,
        desired: DesiredOrganization | DesiredTeam | DesiredProject,
        present: ScopeRow | None,
        path: str,
    ) -> ScopeRow:
        name = desired.name or desired.slug
        time_zone = desired.time_zone if isinstance(desired, DesiredOrganization) else None
        if present is None:
            made = add_scope(
                self._current,
                kind,
                parent,
                slug=desired.slug,
                name=name,
                time_zone=time_zone,
                residency=desired.residency,
                managed_by=self._manager,
            )
            self._named.add(made.id)
            self._note(ChangeAction.CREATE, kind, path, made.id)
            if desired.blocked:
                made = write_scope(self._current, made, replace(made, blocked=True), "block")
            return made
        blocked = present.blocked if desired.blocked is None else desired.blocked
        after = replace(
            present,
            name=checks.check_name(name),
            time_zone=None if time_zone is None else checks.check_time_zone(time_zone),
            blocked=blocked,
            residency=_residency(present.residency, desired.residency),
        )
        return self._write_scope(present, after, path)

    def _write_scope(self, present: ScopeRow, after: ScopeRow, path: str) -> ScopeRow:
        self._named.add(present.id)
        if present.managed_by is ManagedBy.FILE and self._manager is not ManagedBy.FILE:
            # What stands there as desired is fine, whoever keeps it so.
            if after != present:
                checks.refuse_file_managed(present.managed_by)
            return present
        after = replace(after, managed_by=self._manager)
        if after == present:
            return present
        newer = write_scope(self._current, present, after, "update")
        self._note(ChangeAction.UPDATE, present.kind, path, present.id, _differing(present, after))
        return newer

    def _keys(self, scope: ScopeRow, desired: Sequence[DesiredKey], path: str) -> None:
        for key in desired:
            place = f"{path}/{key.name}"
            self._limits.key(self._key(scope, key, place), key, place)

    def _key(self, scope: ScopeRow, desired: DesiredKey, path: str) -> KeyRow:
        self._place = path
        expires_at_ms = None if desired.expires_at is None else parse_time(desired.expires_at, "expires_at")
        present = find_live_key(self._current.connection, scope.id, desired.name)
        if present is None:
            made, secret = add_key(
                self._current,
                scope,
                name=desired.name,
                models=desired.models,
                sandbox=desired.sandbox,
                tags=desired.tags,
                expires_at_ms=expires_at_ms,
                residency=desired.residency,
                secret=desired.secret,
                secret_sha256=desired.secret_sha256,
                managed_by=self._manager,
            )
            if desired.blocked:
                write_key(self._current, made, replace(made, blocked=True), "block")
            self._named.add(made.id)
            minted = secret if desired.secret is None else None
            self._note(ChangeAction.CREATE, "key", path, made.id, secret=minted)
            return made
        self._named.add(present.id)
        after = self._desired_key(present, desired, expires_at_ms)
        if present.managed_by is ManagedBy.FILE and self._manager is not ManagedBy.FILE:
            if after != present:
                checks.refuse_file_managed(present.managed_by)
            return present
        after = replace(after, managed_by=self._manager)
        if after != present:
            write_key(self._current, present, after, "update")
            self._note(ChangeAction.UPDATE, "key", path, present.id, _differing(present, after))
        return after

    def _desired_key(self, present: KeyRow, desired: DesiredKey, expires_at_ms: int | None) -> KeyRow:
        after = replace(
            present,
            models=checks.check_models(desired.models),
            sandbox=desired.sandbox,
            tags=checks.check_tags(desired.tags),
            expires_at_ms=expires_at_ms,
            blocked=present.blocked if desired.blocked is None else desired.blocked,
            residency=_residency(present.residency, desired.residency),
        )
        digest = given_digest(desired.secret, desired.secret_sha256)
        if digest is None or digest == present.digest:
            return after
        if digest != present.previous_digest:
            param = "secret" if desired.secret is not None else "secret_sha256"
            check_new_digest(self._current, digest, param)
        return replace(
            after,
            digest=digest,
            hint="" if desired.secret is None else hint_of(desired.secret),
            previous_digest=None,
            grace_until_ms=None,
            rotated_at_ms=self._current.now_ms,
        )

    def _user(self, organization: ScopeRow, desired: DesiredUser, path: str) -> None:
        self._place = path
        email = checks.check_email(desired.email)
        present = find_user_by_email(self._current.connection, organization.id, email)
        if present is None:
            user = add_user(
                self._current,
                organization,
                email=email,
                name=desired.name,
                residency=desired.residency,
                managed_by=self._manager,
            )
            self._named.add(user.id)
            self._note(ChangeAction.CREATE, "user", path, user.id)
        else:
            blocked = present.blocked if desired.blocked is None else desired.blocked
            residency = _residency(present.residency, desired.residency)
            after = replace(present, name=checks.check_name(desired.name), blocked=blocked, residency=residency)
            user = self._write_scope(present, after, path)
        self._limits.scope(user, desired, path)
        self._roles(organization, user, desired, path)

    def _roles(self, organization: ScopeRow, user: ScopeRow, desired: DesiredUser, path: str) -> None:
        wanted = {RoleBinding(scope_id=organization.id, role=role) for role in desired.roles}
        held = {
            binding for binding in bindings_of(self._current.connection, user.id) if binding.scope_id == organization.id
        }
        if wanted == held:
            return
        if self._manager is not ManagedBy.FILE:
            checks.refuse_file_managed(user.managed_by)
        ancestors = (organization.ref,)
        for binding in sorted(wanted ^ held, key=lambda changed: changed.role):
            refuse_unfit_grant(self._current.actor, user.id, ancestors, binding.role)
            if binding in wanted:
                add_binding(self._current, user, binding)
            else:
                remove_binding(self._current, user, binding)
        self._note(ChangeAction.UPDATE, "user", path, user.id, ("roles",))

    def _end_absent_keys(self) -> None:
        columns = virtual_keys.c
        query = select(virtual_keys).where(
            columns.managed_by == self._manager,
            columns.revoked_at_ms.is_(None),
            visible(self._current.actor, P.APPLY, columns.scope_id),
        )
        for row in self._current.connection.execute(query).mappings().all():
            key = key_of(row)
            if key.id in self._named or (self._absent is Absent.BLOCK and key.blocked):
                continue
            self._place = path = f"{self._path_of_id(key.scope_id)}/{key.name}"
            if self._absent is Absent.PRUNE:
                end_key(self._current, key)
                self._note(ChangeAction.PRUNE, "key", path, key.id)
            else:
                write_key(self._current, key, replace(key, blocked=True), "block")
                self._note(ChangeAction.BLOCK, "key", path, key.id)

    def _end_absent_scopes(self) -> None:
        query = select(scopes).where(
            scopes.c.managed_by == self._manager, visible(self._current.actor, P.APPLY, scopes.c.id)
        )
        absent = [scope_of(row) for row in self._current.connection.execute(query).mappings().all()]
        # The deepest first, so that a branch whose leaves go can go itself.
        deepest_first = (ScopeKind.USER, ScopeKind.PROJECT, ScopeKind.TEAM, ScopeKind.ORGANIZATION)
        for scope in sorted(absent, key=lambda row: deepest_first.index(row.kind)):
            if scope.id not in self._named:
                self._end_scope(scope)

    def _end_scope(self, scope: ScopeRow) -> None:
        current = self._current
        self._place = path = self._path_of(scope)
        if scope.kind is ScopeKind.ORGANIZATION:
            current.allow(P.ORGANIZATIONS_WRITE, (), noun="installation", seen_by=P.SCOPES_READ)
        removable = self._absent is Absent.PRUNE and scope.kind is not ScopeKind.USER
        if removable and not holds_anything(current.connection, scope):
            remove_scope(current, scope)
            self._note(ChangeAction.PRUNE, scope.kind, path, scope.id)
        elif not scope.blocked:
            write_scope(current, scope, replace(scope, blocked=True), "block")
            self._note(ChangeAction.BLOCK, scope.kind, path, scope.id)

    def _path_of_id(self, scope_id: str) -> str:
        row = self._current.connection.execute(select(scopes).where(scopes.c.id == scope_id)).mappings().one()
        return self._path_of(scope_of(row))

    def _path_of(self, scope: ScopeRow) -> str:
        steps = path_of(self._current.connection, scope) or ()
        words = [step.slug for step in steps]
        if scope.kind is ScopeKind.USER:
            words[-1] = email_of(self._current.connection, scope.id)
        return "/".join(words)

    def _note(
        self,
        action: ChangeAction,
        kind: str,
        path: str,
        row_id: str,
        fields: tuple[str, ...] = (),
        *,
        secret: str | None = None,
    ) -> None:
        change = PlannedChange(action=action, kind=str(kind), path=path, fields=fields, id=row_id, secret=secret)
        self.changes.append(change)


def _residency(present: ResidencyPolicy | None, desired: Residency | None) -> ResidencyPolicy | None:
    return present if desired is None else check_residency(desired)


def _differing(before: Struct, after: Struct) -> tuple[str, ...]:
    ours, theirs = asdict(before), asdict(after)
    secret_ones = {"digest", "previous_digest", "grace_until_ms", "hint", "rotated_at_ms"}
    differing = [name for name in ours if ours[name] != theirs[name]]
    named = ["secret" if name in secret_ones else name.removesuffix("_ms") for name in differing]
    return tuple(dict.fromkeys(named))
