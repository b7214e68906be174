"""The database: one writer, read-only readers, and clear words for what cannot be opened."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from headgate.storage.engine import (
    Check,
    DatabaseCorruptError,
    DatabaseUrlError,
    SchemaError,
    database_path,
    open_database,
)
from headgate.storage.lock import DatabaseLockedError
from headgate.storage.migrate import migrate
from headgate.storage.tables import scopes


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/data/headgate.db"
    migrate(url)
    return url


@pytest.fixture
def database(url):
    database = open_database(url)
    yield database
    database.close()


def scope(slug: str) -> dict[str, object]:
    return {
        "id": f"org_{slug}",
        "kind": "organization",
        "organization_id": f"org_{slug}",
        "slug": slug,
        "name": slug,
        "managed_by": "api",
        "created_at_ms": 1,
        "updated_at_ms": 1,
        "version": 1,
    }


def slugs(database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(scopes.c.slug).order_by(scopes.c.slug)).scalars())


def test_what_a_write_committed_is_what_the_next_read_sees(database):
    with database.write() as connection:
        connection.execute(insert(scopes).values(scope("acme")))
        assert slugs(database) == []
    assert slugs(database) == ["acme"]


def test_a_write_that_raises_leaves_nothing_behind(database):
    def fail() -> None:
        with database.write() as connection:
            connection.execute(insert(scopes).values(scope("acme")))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert slugs(database) == []
    with database.write() as connection:
        connection.execute(insert(scopes).values(scope("next")))
    assert slugs(database) == ["next"]


def test_a_read_keeps_its_view_while_others_write(database):
    with database.read() as reader:
        count = text("SELECT count(*) FROM scopes")
        assert reader.execute(count).scalar_one() == 0
        with database.write() as connection:
            connection.execute(insert(scopes).values(scope("acme")))
        assert reader.execute(count).scalar_one() == 0
    assert slugs(database) == ["acme"]


def test_a_reader_cannot_write(database):
    with pytest.raises(OperationalError), database.read() as connection:
        connection.execute(insert(scopes).values(scope("acme")))
    assert slugs(database) == []


def test_every_pragma_is_set_on_its_connection(database):
    def value(connection, name):
        return connection.execute(text(f"PRAGMA {name}")).scalar_one()

    with database.write() as connection:
        assert value(connection, "journal_mode") == "wal"
        assert value(connection, "synchronous") == 2
        assert value(connection, "recursive_triggers") == 1
        assert value(connection, "query_only") == 0
        for name, wanted in (("foreign_keys", 1), ("trusted_schema", 0), ("cell_size_check", 1), ("mmap_size", 0)):
            assert value(connection, name) == wanted
    with database.read() as connection:
        assert value(connection, "query_only") == 1
        assert value(connection, "wal_autocheckpoint") == 0
        for name, wanted in (("foreign_keys", 1), ("trusted_schema", 0), ("cell_size_check", 1), ("mmap_size", 0)):
            assert value(connection, name) == wanted


def test_writers_of_many_threads_take_turns_and_lose_nothing(database):
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for number in range(20):
                with database.write() as connection:
                    connection.execute(insert(scopes).values(scope(f"w{worker}-{number}")))
                assert f"w{worker}-{number}" in slugs(database)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert len(slugs(database)) == 160


def test_directory_and_file_are_for_their_owner_alone(url):
    path = database_path(url)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    database = open_database(url)
    with database.write() as connection:
        connection.execute(insert(scopes).values(scope("acme")))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert len(list(path.parent.iterdir())) >= 3
    database.close()


def test_a_second_process_is_refused_by_name_and_let_in_once_the_first_is_gone(url):
    path = database_path(url)
    code = (
        f"from headgate.storage.engine import open_database; open_database({url!r}); print('open', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(DatabaseLockedError) as refused:
            open_database(url)
        assert str(path) in str(refused.value)
        assert f"pid {other.pid}" in str(refused.value)
        other.kill()
    open_database(url).close()


def test_the_same_process_cannot_open_it_twice(database, url):
    with pytest.raises(DatabaseLockedError):
        open_database(url)


def test_closing_twice_is_once_and_leaves_no_wal_behind(url):
    database = open_database(url)
    with database.write() as connection:
        connection.execute(insert(scopes).values(scope("acme")))
    database.close()
    database.close()
    assert not database.path.with_name("headgate.db-wal").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data/headgate.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "postgresql://localhost/headgate",
        "mysql://localhost/headgate",
    ],
)
def test_a_url_that_is_no_file_of_its_own_is_refused_with_an_example(url):
    with pytest.raises(DatabaseUrlError, match="sqlite:///"):
        open_database(url)


def test_an_odd_path_is_the_file_it_says(tmp_path):
    url = f"sqlite:///{tmp_path}/ä ö#1/head gate.db"
    migrate(url)
    open_database(url).close()
    assert (tmp_path / "ä ö#1" / "head gate.db").stat().st_size > 0


def test_a_database_without_tables_says_how_to_make_them(tmp_path):
    with pytest.raises(SchemaError, match="headgate migrate"):
        open_database(f"sqlite:///{tmp_path}/new.db")


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_bytes(b"not a database " * 100)
    for opening in (open_database, migrate):
        with pytest.raises(DatabaseCorruptError, match=r"notes\.txt"):
            opening(f"sqlite:///{file}")
    assert file.read_bytes() == b"not a database " * 100


def fill(url: str) -> None:
    database = open_database(url)
    with database.write() as connection:
        connection.execute(insert(scopes), [scope(f"slug-{number}") for number in range(2000)])
    database.close()


def damage(path: Path) -> None:
    """Spoil a page, as a disk does: neither the size nor the time of the file tells."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def killed(url: str, statement: str) -> None:
    """Open the database in a process of its own, let it do something, and kill it."""
    code = (
        f"from sqlalchemy import text; from headgate.storage.engine import open_database; it = open_database({url!r})\n"
        f"with it.write() as connection: connection.execute(text({statement!r}))\n"
        "print('done', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        process.kill()


def test_a_database_that_was_closed_in_order_is_not_looked_through(url, caplog):
    fill(url)
    caplog.clear()
    caplog.set_level("INFO", "headgate.storage")
    damage(database_path(url))
    open_database(url).close()
    open_database(url).close()
    assert caplog.records == []


def test_what_a_killed_process_leaves_is_looked_through_at_the_next_start_and_only_then(url, caplog):
    fill(url)
    killed(url, "DELETE FROM scopes WHERE slug = 'slug-1'")
    caplog.clear()
    caplog.set_level("INFO", "headgate.storage")
    open_database(url).close()
    assert ["not closed in order" in record.message for record in caplog.records] == [True]
    open_database(url).close()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("statement", ["SELECT 1", "DELETE FROM scopes WHERE slug = 'slug-1'"])
def test_damage_that_a_killed_process_leaves_is_refused_again_and_again(url, statement):
    fill(url)
    killed(url, statement)
    damage(database_path(url))
    for _ in range(2):
        with pytest.raises(DatabaseCorruptError, match="restore a backup"):
            open_database(url)


def test_a_file_that_was_changed_by_others_is_looked_through(url):
    fill(url)
    path = database_path(url)
    damage(path)
    os.utime(path)
    with pytest.raises(DatabaseCorruptError, match="restore a backup"):
        open_database(url)


def test_a_file_that_was_put_in_the_place_of_another_is_looked_through(url, tmp_path):
    fill(url)
    path = database_path(url)
    damage(path)
    shutil.copy2(path, tmp_path / "copy.db")
    os.replace(tmp_path / "copy.db", path)
    with pytest.raises(DatabaseCorruptError, match="restore a backup"):
        open_database(url)


def test_migrating_does_not_stand_for_a_look(url):
    fill(url)
    killed(url, "SELECT 1")
    damage(database_path(url))
    migrate(url)
    with pytest.raises(DatabaseCorruptError, match="restore a backup"):
        open_database(url)


def test_a_full_check_looks_whether_it_is_due_or_not(url):
    fill(url)
    open_database(url, Check.FULL).close()
    damage(database_path(url))
    with pytest.raises(DatabaseCorruptError, match="restore a backup"):
        open_database(url, Check.FULL)


def test_a_full_check_finds_an_index_that_lacks_a_row(url):
    fill(url)
    database = open_database(url)
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        hidden = (" WHERE slug <> 'slug-7'", "ix_scopes_managed_by")
        connection.exec_driver_sql("UPDATE sqlite_master SET sql = sql || ? WHERE name = ?", hidden)
    database.close()
    path = database_path(url)
    with sqlite3.connect(path) as connection:
        connection.execute("REINDEX ix_scopes_managed_by")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = substr(sql, 1, length(sql) - ?) WHERE name = ?", (23, hidden[1])
        )
    connection.close()
    open_database(url).close()
    with pytest.raises(DatabaseCorruptError, match="ix_scopes_managed_by"):
        open_database(url, Check.FULL)


def test_a_failed_open_lets_go_of_the_lock(tmp_path):
    url = f"sqlite:///{tmp_path}/new.db"
    with pytest.raises(SchemaError):
        open_database(url)
    migrate(url)
    open_database(url).close()


def test_opening_a_database_does_not_import_alembic():
    code = "import sys, headgate.storage.engine; sys.exit('alembic' in sys.modules)"
    source = Path(__file__).parents[2] / "src"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, check=False).returncode == 0


def test_an_error_never_shows_the_values_of_a_statement(database):
    rows = [scope("canary-value")] * 2
    with pytest.raises(IntegrityError, match="UNIQUE") as raised, database.write() as connection:
        connection.execute(insert(scopes), rows)
    assert "canary-value" not in str(raised.value)
