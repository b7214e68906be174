"""Migrations: they make what the tables say, in one piece, and touch nothing that is not ours."""

import shutil
import sqlite3

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text

from headgate.storage import migrate as migrate_module
from headgate.storage.engine import SchemaError, make_writer, open_database
from headgate.storage.lock import DatabaseLockedError
from headgate.storage.migrate import alembic_config, migrate
from headgate.storage.tables import REVISION, meta, metadata, requests, scopes, virtual_keys


@pytest.fixture
def path(tmp_path):
    return tmp_path / "headgate.db"


@pytest.fixture
def url(path):
    return f"sqlite:///{path}"


def schema(connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in rows if name != "alembic_version"}


def test_migrating_an_empty_file_makes_the_tables_and_doing_it_again_changes_nothing(url):
    assert migrate(url) is None
    database = open_database(url)
    with database.read() as connection:
        first = connection.execute(select(meta)).one()
    database.close()
    assert migrate(url) == REVISION
    database = open_database(url)
    with database.read() as connection:
        assert connection.execute(select(meta)).one() == first
    database.close()
    assert len(first.instance_id) == 32


def test_two_installations_have_two_ids(tmp_path):
    found = set()
    for name in ("a", "b"):
        migrate(f"sqlite:///{tmp_path}/{name}.db")
        database = open_database(f"sqlite:///{tmp_path}/{name}.db")
        with database.read() as connection:
            found.add(connection.execute(select(meta.c.instance_id)).scalar_one())
        database.close()
    assert len(found) == 2


def test_the_migrations_make_exactly_what_the_tables_say(url, path):
    migrate(url)
    writer = make_writer(path)
    with writer.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        migrated = schema(connection)
    writer.dispose()
    straight = create_engine("sqlite://")
    with straight.begin() as connection:
        metadata.create_all(connection)
        made = schema(connection)
    straight.dispose()
    assert set(migrated) == set(made)
    # Clauses may come in another order, and the models render the same ones.
    for name, sql in made.items():
        assert sorted(sql.replace("(", " ").replace(")", " ").replace(",", " ").split()) == sorted(
            migrated[name].replace("(", " ").replace(")", " ").replace(",", " ").split()
        ), name


def test_the_revision_of_the_code_is_the_newest_script():
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == REVISION


FIRST_REQUEST = """
INSERT INTO requests VALUES (
    'req_1', 1, 'org_1', '["org_1"]', 'key_1', NULL, NULL, '[]', 'chat', 'openai_chat', 'gpt-4o',
    'openai', 'openai/gpt-4o', 'gpt-4o', 0, '[]', 'ok', 200, NULL, 'stop',
    10, 0, 0, 0, 5, 0, 0, 'provider', 42, 1, 'v1', 3.5, 20.0, 0.5, 0
)
"""


def test_requests_of_the_first_version_outlive_the_upgrade(url, path):
    path.touch()
    writer = make_writer(path)
    config = alembic_config()
    with writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(FIRST_REQUEST)
    writer.dispose()
    assert migrate(url) == "0001"
    database = open_database(url)
    with database.read() as connection:
        row = connection.execute(select(requests)).mappings().one()
        assert (row["id"], row["cost_nano_usd"], row["overhead_ms"]) == ("req_1", 42, 0.5)
        assert (row["is_sandbox"], row["spending"]) == (False, None)
    database.close()


FIRST_SCOPE = """
INSERT INTO scopes (id, kind, organization_id, slug, name, managed_by, created_at_ms, updated_at_ms, version)
VALUES ('org_1', 'organization', 'org_1', 'acme', 'Acme', 'api', 1, 1, 1)
"""
FIRST_KEY = """
INSERT INTO virtual_keys (
    id, scope_id, organization_id, name, digest, hint, models, tags, managed_by, created_at_ms, updated_at_ms, version
) VALUES ('key_1', 'org_1', 'org_1', 'prod', zeroblob(32), 'abcd', '["*"]', '{}', 'api', 1, 1, 1)
"""


def test_scopes_and_keys_of_the_third_version_outlive_the_upgrade_without_a_policy(url, path):
    path.touch()
    writer = make_writer(path)
    config = alembic_config()
    with writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.exec_driver_sql(FIRST_SCOPE)
        connection.exec_driver_sql(FIRST_KEY)
    writer.dispose()
    assert migrate(url) == "0003"
    database = open_database(url)
    with database.read() as connection:
        assert connection.execute(select(scopes.c.id, scopes.c.residency)).one() == ("org_1", None)
        assert connection.execute(select(virtual_keys.c.id, virtual_keys.c.residency)).one() == ("key_1", None)
    database.close()


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(url, path):
    migrate(url)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SchemaError, match="9999"):
        migrate(url)
    with pytest.raises(SchemaError, match="9999"):
        open_database(url)


def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(url, path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    connection.close()
    with pytest.raises(SchemaError, match="theirs"):
        migrate(url)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("DROP TABLE access_tokens", "access_tokens"),
        ("ALTER TABLE virtual_keys DROP COLUMN rotated_at_ms", "virtual_keys.rotated_at_ms"),
    ],
)
def test_a_partial_schema_is_refused_by_what_is_missing(url, path, damage, named):
    migrate(url)
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(SchemaError, match=named):
        migrate(url)


def test_a_schema_at_two_revisions_is_refused(url, path):
    migrate(url)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO alembic_version VALUES ('0000')")
    connection.close()
    with pytest.raises(SchemaError, match="2 schema revisions"):
        migrate(url)


BROKEN_SCRIPT = f"""
from alembic import op

revision = "9000"
down_revision = "{REVISION}"


def upgrade():
    op.execute("CREATE TABLE half (id INTEGER)")
    op.execute("DROP TABLE users")
    raise RuntimeError("stopped in the middle")
"""


@pytest.mark.parametrize("there_before", [False, True])
def test_a_migration_that_fails_half_way_leaves_nothing_behind(url, path, tmp_path, monkeypatch, there_before):
    def tables() -> list[tuple[str]]:
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
        connection.close()
        return found

    if there_before:
        migrate(url)
    else:
        path.touch()
    before = tables()
    scripts = tmp_path / "scripts"
    shutil.copytree(migrate_module._SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "m9000_broken.py").write_text(BROKEN_SCRIPT)
    monkeypatch.setattr(migrate_module, "_SCRIPTS", scripts)
    monkeypatch.setattr(migrate_module, "REVISION", "9000")
    with pytest.raises(RuntimeError, match="stopped in the middle"):
        migrate(url)
    assert tables() == before


def test_a_running_gateways_database_is_not_migrated(url):
    migrate(url)
    database = open_database(url)
    with pytest.raises(DatabaseLockedError):
        migrate(url)
    database.close()
