"""Random bytes for request ids."""

from headgate.server.entropy import EntropyPool


def test_no_bytes_are_given_twice() -> None:
    pool = EntropyPool()
    given = [pool(10) for _ in range(5000)]
    assert all(len(each) == 10 for each in given)
    assert len(set(given)) == len(given)


def test_more_than_a_pool_at_once() -> None:
    pool = EntropyPool()
    pool(10)
    assert len(pool(10_000)) == 10_000
    assert len(pool(10)) == 10
