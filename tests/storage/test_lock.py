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
