"""The lock file beside a database."""

import os
import stat

import pytest

from headgate.storage.lock import DatabaseLockedError, WriterLock


def test_a_lock_is_exclusive_until_it_is_released(tmp_path):
    database = tmp_path / "headgate.db"
    lock = WriterLock(database)
    with pytest.raises(DatabaseLockedError, match=f"pid {os.getpid()}"):
        WriterLock(database)
    lock.release()
    WriterLock(database).release()


def test_the_refusal_names_both_files(tmp_path):
    database = tmp_path / "headgate.db"
    lock = WriterLock(database)
    with pytest.raises(DatabaseLockedError) as refused:
        WriterLock(database)
    assert f"{database} " in str(refused.value)
    assert f"{database}.lock" in str(refused.value)
    lock.release()


def test_releasing_twice_is_once(tmp_path):
    lock = WriterLock(tmp_path / "headgate.db")
    lock.release()
    other = WriterLock(tmp_path / "headgate.db")
    lock.release()
    with pytest.raises(DatabaseLockedError):
        WriterLock(tmp_path / "headgate.db")
    other.release()


def test_the_lock_file_is_for_its_owner_alone_and_stays(tmp_path):
    lock = WriterLock(tmp_path / "headgate.db")
    lock.release()
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600


def test_a_shorter_pid_leaves_nothing_of_a_longer_one(tmp_path):
    (tmp_path / "headgate.db.lock").write_text("123456789012\n")
    lock = WriterLock(tmp_path / "headgate.db")
    assert lock.path.read_text() == f"{os.getpid()}\n"
    lock.release()


def sealed(database) -> bool:
    """Whether the next lock finds the database as it was closed; leaves the seal as it was."""
    lock = WriterLock(database)
    lock.release(closed=lock.was_closed)
    return lock.was_closed


def test_only_a_release_that_says_so_seals_the_database(tmp_path):
    database = tmp_path / "headgate.db"
    database.write_bytes(b"rows")
    WriterLock(database).release()
    assert not sealed(database)
    WriterLock(database).release(closed=True)
    assert sealed(database)
    WriterLock(database).release()
    assert not sealed(database)


def test_whatever_happens_to_the_file_breaks_the_seal(tmp_path):
    database = tmp_path / "headgate.db"

    def seal() -> None:
        WriterLock(database).release(closed=True)
        assert sealed(database)

    database.write_bytes(b"rows")
    seal()
    database.write_bytes(b"rows and more")
    assert not sealed(database)
    seal()
    os.utime(database, ns=(1, 1))
    assert not sealed(database)
    seal()
    (tmp_path / "headgate.db-wal").touch()
    assert not sealed(database)
    (tmp_path / "headgate.db-wal").unlink()
    seal()
    database.unlink()
    assert not sealed(database)


def test_a_log_to_recover_or_no_database_at_all_is_never_sealed(tmp_path):
    database = tmp_path / "headgate.db"
    WriterLock(database).release(closed=True)
    assert not sealed(database)
    database.write_bytes(b"rows")
    (tmp_path / "headgate.db-wal").touch()
    WriterLock(database).release(closed=True)
    (tmp_path / "headgate.db-wal").unlink()
    assert not sealed(database)
