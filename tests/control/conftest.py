"""A control plane over a real SQLite file, with a clock that a test moves by hand."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from headgate.audit.event import AuditEvent
from headgate.audit.log import AuditFilters, search
from headgate.control import keys, organizations, projects, teams, tokens, users
from headgate.control.plane import Plane
from headgate.control.publish import Publisher, load_directory
from headgate.domain.access import Role, VirtualKey
from headgate.identity.actor import Actor, ActorKind
from headgate.identity.directory import KeyDirectory
from headgate.identity.secrets import hash_secret
from headgate.ledger.limit_book import LimitBook
from headgate.routing.table import RouteTable
from headgate.snapshot import Snapshot, SnapshotSource
from headgate.storage.engine import Database, open_database
from headgate.storage.migrate import migrate
from headgate.storage.tables import audit_events
from tests.ledger.threaded import threaded_ledger

OPERATOR = Actor(kind=ActorKind.OPERATOR, id="operator", request_id="req_1", source_address="192.0.2.7")
START_MS = 1_795_000_000_000


class World:
    """The plane, its clock, and short words for what most tests set up."""

    def __init__(self, database: Database, stack: ExitStack) -> None:
        self.database = database
        self.now_ms = START_MS
        file = database.path.with_name("ledger.db")
        self.threaded = stack.enter_context(threaded_ledger(file, lambda: self.now_ms))
        self.ledger = self.threaded.ledger
        routes = RouteTable((), (), lambda provider, model: ())
        self.snapshots = SnapshotSource(Snapshot(revision=1, keys=load_directory(database), routes=routes))
        self.plane = Plane(
            database=database,
            publisher=Publisher(self.snapshots.current.keys, LimitBook(), self.snapshots.publish),
            ledger=self.threaded.desk,
            clock_ms=lambda: self.now_ms,
            entropy=os.urandom,
        )

    def lookup(self, secret: str) -> VirtualKey | None:
        """What the data plane makes of a secret right now."""
        return self.snapshots.current.keys.lookup(hash_secret(secret))

    def reload(self) -> KeyDirectory:
        """The directory as the next start would read it."""
        return load_directory(self.database)

    def tick(self, ms: int = 1) -> None:
        self.now_ms += ms

    def organization(self, slug: str = "acme") -> organizations.Organization:
        self.tick()
        body = organizations.OrganizationCreate(slug=slug, name=slug.title())
        return organizations.create_organization(self.plane, OPERATOR, body)

    def team(self, organization_id: str, slug: str = "ml") -> teams.Team:
        self.tick()
        body = teams.TeamCreate(organization_id=organization_id, slug=slug, name=slug.title())
        return teams.create_team(self.plane, OPERATOR, body)

    def project(self, team_id: str, slug: str = "search") -> projects.Project:
        self.tick()
        body = projects.ProjectCreate(team_id=team_id, slug=slug, name=slug.title())
        return projects.create_project(self.plane, OPERATOR, body)

    def key(self, scope_id: str, name: str = "prod", **fields: Any) -> keys.KeyCreated:
        self.tick()
        return keys.create_key(self.plane, OPERATOR, keys.KeyCreate(scope_id=scope_id, name=name, **fields))

    def user(self, organization_id: str, email: str, *roles: Role, scope_id: str | None = None) -> users.User:
        self.tick()
        body = users.UserCreate(organization_id=organization_id, email=email, name=email.partition("@")[0])
        user = users.create_user(self.plane, OPERATOR, body)
        for role in roles:
            binding = users.RoleBinding(scope_id=scope_id or organization_id, role=role)
            user = users.grant_role(self.plane, OPERATOR, user.id, binding)
        return user

    def actor(self, user_id: str) -> Actor:
        """The person as a token of his own proves him to be."""
        body = tokens.TokenCreate(name=f"token {self.now_ms}", user_id=user_id)
        secret = tokens.create_token(self.plane, OPERATOR, body).secret
        actor = tokens.authenticate_token(self.plane, secret, request_id="req_2", source_address="192.0.2.8")
        assert isinstance(actor, Actor)
        return actor

    def person(self, organization_id: str, role: Role, email: str | None = None, scope_id: str | None = None) -> Actor:
        email = email or f"{role}@example.com"
        return self.actor(self.user(organization_id, email, role, scope_id=scope_id).id)

    def events(self, **filters: Any) -> list[AuditEvent]:
        """Audit events, newest first."""
        with self.database.read() as connection:
            return search(connection, AuditFilters(**filters), before_seq=None, limit=1000)

    def event_count(self) -> int:
        with self.database.read() as connection:
            return connection.execute(select(func.count()).select_from(audit_events)).scalar_one()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    url = f"sqlite:///{tmp_path}/headgate.db"
    migrate(url)
    database = open_database(url)
    with ExitStack() as stack:
        stack.callback(database.close)
        yield World(database, stack)


@pytest.fixture
def operator() -> Actor:
    return OPERATOR
