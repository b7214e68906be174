"""What a reload takes up, and what it says it does not."""

from msgspec.structs import fields, replace

from headgate.settings.model import (
    CacheSettings,
    KeySettings,
    LedgerSettings,
    PriceSettings,
    ProviderSettings,
    Secret,
    ServerSettings,
    Settings,
    StorageSettings,
    TimeoutSettings,
    TlsSettings,
)
from headgate.settings.reloadable import RELOADABLE, effective, needing_restart

RUNNING = Settings()
READ = Settings(
    server=ServerSettings(listen="127.0.0.1:1", admin_token=Secret("x" * 16), tls=TlsSettings("c", "k"), drain=1.0),
    timeouts=TimeoutSettings(idle=1.0),
    storage=StorageSettings("sqlite:///other/headgate.db"),
    providers=(ProviderSettings("sandbox", "sandbox"),),
    prices=PriceSettings(multiplier="2"),
    cache=CacheSettings(),
    ledger=LedgerSettings(durability="os"),
    keys=KeySettings(prefix="x_"),
    data_dir="other",
)


def test_only_what_can_be_taken_up_is() -> None:
    taken = effective(RUNNING, READ)
    assert (taken.timeouts, taken.providers, taken.prices) == (READ.timeouts, READ.providers, READ.prices)
    assert replace(taken, **{name: getattr(RUNNING, name) for name in RELOADABLE}) == RUNNING


def test_the_rest_is_named_setting_by_setting_and_without_its_value() -> None:
    assert needing_restart(RUNNING, READ) == (
        "server.listen",
        "server.admin_token",
        "server.drain",
        "server.tls",
        "storage.database",
        "cache",
        "ledger.durability",
        "keys.prefix",
    )


def test_what_is_equal_needs_nothing() -> None:
    assert needing_restart(RUNNING, effective(RUNNING, READ)) == ()


def test_every_block_is_taken_up_or_named() -> None:
    for name in [each.name for each in fields(Settings) if each.name not in (*RELOADABLE, "data_dir")]:
        assert needing_restart(RUNNING, replace(RUNNING, **{name: getattr(READ, name)})), name
