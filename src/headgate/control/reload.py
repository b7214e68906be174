"""Taking up a changed configuration: read, build, reconcile, one swap. Where any step fails, the last good one stays.

What has to be built is built by whoever makes a `Reloader`; here is the order of the steps, and what is said of them.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from headgate.audit.event import AuditOutcome
from headgate.control.plane import Change, Plane, change, record_refusal, view
from headgate.control.planned import PlannedChange
from headgate.control.provision import provision_within
from headgate.control.timestamps import format_time
from headgate.domain.access import Permission
from headgate.domain.errors import ConfigFinding, ConfigRejectedError, HeadgateError
from headgate.identity.actor import Actor
from headgate.settings.model import ProvisionedOrganization
from headgate.snapshot import Configured, SnapshotSource

_ACTION: Final = "configuration.reload"
_OBJECT: Final = "configuration"
_log: Final = logging.getLogger("headgate.configuration")


class Names(Struct, frozen=True):
    """How two lists of named things differ."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class ConfigurationFile(Struct, frozen=True, kw_only=True):
    """A configuration as it was read."""

    source: str
    """The file's name as it was given, or ``defaults``."""
    sha256: str | None
    """Of the file's bytes; null where there is no file."""
    needs_restart: tuple[str, ...] = ()
    """Settings of it that wait for the next start, such as ``server.listen``."""


class Candidate(Struct, frozen=True, kw_only=True):
    """A configuration that was read and built, and that nothing uses yet."""

    file: ConfigurationFile
    configured: Configured
    organizations: tuple[ProvisionedOrganization, ...] | None
    """``None`` where they are what the rows were made from last: nobody else may change these rows."""
    providers: Names
    """Which were built anew, against those in use; a provider that is not named is the same object as before."""
    models: Names
    settings: tuple[str, ...]
    """Others that differ and are taken up, such as ``timeouts.idle``."""
    adopt: Callable[[], None]
    """Called once it is in use: lets go of what only its predecessor used."""


class ReloadResult(Struct, frozen=True, kw_only=True):
    """A configuration that was taken up, and what that changed."""

    revision: int
    """Of the snapshot that has it."""
    source: str
    sha256: str | None
    providers: Names
    models: Names
    settings: tuple[str, ...]
    organizations: tuple[PlannedChange, ...]
    needs_restart: tuple[str, ...]


class Rejection(Struct, frozen=True, kw_only=True):
    """A configuration that could not be used."""

    at: str
    message: str


class ConfigurationView(Struct, frozen=True, kw_only=True):
    """The configuration in use."""

    revision: int
    """Of the present snapshot; changes of keys and limits count too."""
    loaded_at: str
    source: str
    sha256: str | None
    needs_restart: tuple[str, ...]
    """Settings of the file that wait for the next start."""
    last_rejected: Rejection | None
    """Why the newest reload failed; null once one has succeeded."""


class _Used(Struct, frozen=True):
    """What is in use, and since when."""

    file: ConfigurationFile
    loaded_at_ms: int


class Reloader:
    """Knows the configuration in use, and takes up its successor. One reload at a time.

    Call it from any thread but the event loop's: it waits for transactions.
    """

    def __init__(
        self, plane: Plane, snapshots: SnapshotSource, build: Callable[[], Candidate], first: ConfigurationFile
    ) -> None:
        """``build`` reads and builds, and raises `ConfigRejectedError`; ``first`` is what the gateway started with."""
        self._plane = plane
        self._snapshots = snapshots
        self._build = build
        self._turn = threading.Lock()
        self._used = _Used(first, plane.clock_ms())
        self._rejection: Rejection | None = None

    def view(self, actor: Actor) -> ConfigurationView:
        """Say which configuration is in use."""
        with view(self._plane, actor, "configuration.read", _OBJECT) as access:
            access.allow(Permission.OPERATE, (), noun="installation", seen_by=Permission.OPERATE)
        used = self._used
        file = used.file
        return ConfigurationView(
            revision=self._snapshots.current.revision,
            loaded_at=format_time(used.loaded_at_ms),
            source=file.source,
            sha256=file.sha256,
            needs_restart=file.needs_restart,
            last_rejected=self._rejection,
        )

    def reload(self, actor: Actor) -> ReloadResult:
        """Read the configuration again and take it up.

        Raises:
            PermissionDeniedError: only the operator may.
            ConfigRejectedError: it cannot be used; nothing of it is.
        """
        with view(self._plane, actor, _ACTION, _OBJECT) as access:
            access.allow(Permission.OPERATE, (), noun="installation", seen_by=Permission.OPERATE)
        with self._turn:
            try:
                candidate = self._candidate(actor)
                steps = self._take_up(actor, candidate)
            except ConfigRejectedError as error:
                self._note(error.message)
                _log.error("the configuration was rejected; the last good one stays", extra=self._facts(error))
                raise
            except Exception as error:
                self._note(f"The gateway failed over it: {type(error).__name__}. Its log says more.")
                _log.exception("the configuration was rejected; the last good one stays", extra=self._facts(None))
                raise
            self._used, self._rejection = _Used(candidate.file, self._plane.clock_ms()), None
            result = self._result(candidate, steps)
            candidate.adopt()
        return result

    def _candidate(self, actor: Actor) -> Candidate:
        try:
            return self._build()
        except ConfigRejectedError as error:
            record_refusal(self._plane, actor, _ACTION, error, object_kind=_OBJECT, outcome=AuditOutcome.FAILED)
            raise

    def _take_up(self, actor: Actor, candidate: Candidate) -> tuple[PlannedChange, ...]:
        """Make the rows what the file says and publish all of it, or change nothing."""
        with change(self._plane, actor, _ACTION, _OBJECT) as current:
            steps = _provision(current, candidate)
            before, after = self._used.file, candidate.file
            current.record(
                None,
                None,
                {"source": before.source, "sha256": before.sha256},
                {"source": after.source, "sha256": after.sha256},
            )
            current.configured = candidate.configured
        return steps

    def _result(self, candidate: Candidate, steps: tuple[PlannedChange, ...]) -> ReloadResult:
        file = candidate.file
        result = ReloadResult(
            revision=self._snapshots.current.revision,
            source=file.source,
            sha256=file.sha256,
            providers=candidate.providers,
            models=candidate.models,
            settings=candidate.settings,
            organizations=steps,
            needs_restart=file.needs_restart,
        )
        facts = {"revision": result.revision, "sha256": file.sha256, "organization_changes": len(steps)}
        _log.info("the configuration was reloaded", extra=facts)
        if file.needs_restart:
            waiting = {"revision": result.revision, "needs_restart": file.needs_restart}
            _log.warning("settings that changed wait for the next start", extra=waiting)
        return result

    def _note(self, message: str) -> None:
        self._rejection = Rejection(at=format_time(self._plane.clock_ms()), message=message)

    def _facts(self, error: ConfigRejectedError | None) -> dict[str, object]:
        findings = () if error is None else tuple(map(str, error.findings))
        revision = self._snapshots.current.revision
        return {"code": ConfigRejectedError.code, "revision": revision, "findings": findings}


def rejected(findings: Sequence[ConfigFinding]) -> ConfigRejectedError:
    """Return the error that says all of ``findings``."""
    words = "; ".join(map(str, findings))
    return ConfigRejectedError(f"The configuration was rejected, and the last good one stays: {words}", tuple(findings))


def _provision(current: Change, candidate: Candidate) -> tuple[PlannedChange, ...]:
    if candidate.organizations is None:
        return ()
    try:
        return provision_within(current, candidate.organizations)
    except HeadgateError as error:
        # Its words begin with the place in the tree; which line that is, nobody knows here.
        finding = ConfigFinding(file=candidate.file.source, line=None, path="organizations", message=error.message)
        raise rejected([finding]) from error
