"""The shape of ``headgate.yaml``. One Struct a block; field names are the file's keys.

Durations are seconds and sizes bytes here; the file writes ``30s`` and ``32MiB``. A credential is a `Secret`, which
keeps it out of ``repr`` and of log lines. docs/reference/configuration.md explains every key.
"""

from typing import Final

from msgspec import UNSET, Struct, UnsetType, field

from headgate.domain.caching import CachePolicy
from headgate.domain.catalog import Price
from headgate.domain.limits import BudgetMode, Period, WindowMode
from headgate.domain.residency import ResidencyPolicy
from headgate.domain.routing import DataHandling, Strategy


class Secret:
    """A text that does not show itself in ``repr``, ``str`` or a log line; `reveal` is explicit."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap ``text``."""
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class TlsSettings(Struct, frozen=True):
    """Certificate and key of a listener (PEM files)."""

    cert: str
    key: str


class ServerSettings(Struct, frozen=True):
    """The ``server`` block."""

    listen: str = "127.0.0.1:4100"
    admin_listen: str | None = None
    """A listener of its own for /admin, /metrics and /sandbox; ``None``: the same one."""
    admin_token: Secret = field(default_factory=lambda: Secret(""))
    """Empty: a token is made on the first start and kept in the data directory."""
    drain: float = 120.0
    max_body: int = 32 * 1024 * 1024
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose ``x-forwarded-for`` and ``-proto`` are believed."""
    tls: TlsSettings | None = None
    header_timeout: float = 10.0
    """Seconds a client may take to send its request head, and again between two pieces of its body."""
    max_connections: int = 10_000
    """Open client connections of each listener; one more is answered 503."""
    max_in_flight: int = 4096
    """Requests at once; a fifth is kept for keys of priority ``critical``. One more is answered 503."""
    shed_at_lag: float = 0.1
    """Seconds that the event loop may be late, for a while, before fewer requests are let in."""


class TimeoutSettings(Struct, frozen=True):
    """The ``timeouts`` block, towards providers."""

    connect: float = 3.0
    first_event: float = 120.0
    idle: float = 60.0
    total: float = 600.0


class StorageSettings(Struct, frozen=True):
    """The ``storage`` block."""

    database: str = "sqlite:///data/headgate.db"


class UpstreamTlsSettings(Struct, frozen=True):
    """A provider's ``tls`` block: corporate CA and client certificate (PEM files). Verification is never off."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class CredentialSettings(Struct, frozen=True):
    """One of several credentials of a provider."""

    name: str
    value: Secret
    weight: int = 1


class ProviderSettings(Struct, frozen=True):
    """One entry of ``providers``."""

    name: str
    kind: str
    base_url: str | None = None
    credential: Secret = field(default_factory=lambda: Secret(""))
    credentials: tuple[CredentialSettings, ...] = ()
    """Several, each with limits of its own at the provider; instead of ``credential``. Empty ones are left out."""
    region: str | None = None
    allow_private_network: bool = False
    transport: str = "lean"
    """``lean`` or ``aiohttp``."""
    tls: UpstreamTlsSettings | None = None
    timeouts: TimeoutSettings | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Added to every request, e.g. an organization header; never the credential."""
    max_connections: int = 256
    max_connection_age: float = 300.0
    max_output_field: str | UnsetType | None = UNSET
    """Overrides the vendor row."""
    price_free: bool = False
    """The file says ``price: free``."""
    handling: DataHandling = DataHandling()
    """``jurisdiction``, ``retention_days`` and ``trains``: what holds for deployments that do not say otherwise."""


class DeploymentSettings(Struct, frozen=True):
    """One callable target of an alias."""

    provider: str
    model: str
    region: str | None = None
    price: Price | None = None
    """From the file's ``price: {input_per_mtok: "2.50", …}`` with version ``configuration``."""
    price_free: bool = False
    weight: int = 1
    priority: int = 0
    """Lower numbers are tried first; a strategy chooses among equal ones."""
    rpm: int | None = None
    """From ``limits``: what the provider grants a minute, where it does not say so in its headers."""
    tpm: int | None = None
    handling: DataHandling = DataHandling()


class FallbackSettings(Struct, frozen=True):
    """The ``fallbacks`` block: aliases to try, in order, once the alias' own deployments have failed so."""

    error: tuple[str, ...] = ()
    context_length: tuple[str, ...] = ()
    content_filter: tuple[str, ...] = ()
    """Empty by default: asking elsewhere what one provider refuses is evasion unless the operator says so."""


class BalanceSettings(Struct, frozen=True):
    """The ``balance`` block: what the strategy ``balanced`` weighs. Only the proportions count; 0 leaves one out."""

    cost: float = 1.0
    latency: float = 1.0
    capacity: float = 1.0
    affinity: float = 1.0


class WhenSettings(Struct, frozen=True):
    """The ``when`` of a rule: all that is given must hold."""

    tags: tuple[tuple[str, str], ...] = ()
    """Name and glob of the value."""
    user: str | None = None
    """Glob of the end user."""
    input_tokens_above: int | None = None
    """The prompt is estimated at more tokens than this."""
    input_tokens_below: int | None = None


class RuleSettings(Struct, frozen=True):
    """One entry of ``rules``: where ``when`` holds, the alias ``use`` answers instead."""

    when: WhenSettings
    use: str


class ModelSettings(Struct, frozen=True):
    """One alias: deployments of its own, or another alias that it stands for."""

    alias: str
    deployments: tuple[DeploymentSettings, ...] = ()
    use: str | None = None
    """Another alias; then there are no deployments."""
    strategy: Strategy = Strategy.PRIORITY
    fallbacks: FallbackSettings = FallbackSettings()
    balance: BalanceSettings = BalanceSettings()
    rules: tuple[RuleSettings, ...] = ()
    """The first whose ``when`` holds decides."""
    cache: CachePolicy | UnsetType | None = UNSET
    """Instead of the ``cache`` block's; ``None``: nothing of it is cached."""


class CacheSettings(Struct, frozen=True):
    """The ``cache`` block. Sizes are bytes."""

    exact: CachePolicy | None = None
    """Of every alias that says nothing else; ``None``: nothing of it is cached."""
    memory: int = 64 * 1024 * 1024
    """Answers in memory; those that were asked for lately stay longest."""
    disk: int = 1024 * 1024 * 1024
    """Answers on the disk; 0 keeps none there."""


class PriceSettings(Struct, frozen=True):
    """The ``prices`` block."""

    unpriced: str = "refuse"
    """``refuse`` or ``ceiling`` (bill at the dearest known price)."""
    multiplier: str = "1"
    """A decimal by which catalogue prices are multiplied (contracts)."""


class KeySettings(Struct, frozen=True):
    """The ``keys`` block."""

    prefix: str = "hg_"


class LedgerSettings(Struct, frozen=True):
    """The ``ledger`` block."""

    durability: str = "fsync"
    """``fsync``: an intent is on the disk before anything is sent. ``os``: it is with the operating system."""
    commit_timeout: float = 0.5
    """Seconds that a request waits for the disk before it is refused."""
    budget_wait: float = 2.0
    """Seconds that a request waits for what others hold to be settled, before it is refused; 0 to 30."""


class ProvisionedBudget(Struct, frozen=True):
    """One entry of ``budgets``: so much money in every period."""

    amount_nano_usd: int
    period: Period
    mode: BudgetMode = BudgetMode.ENFORCE


class ProvisionedRateLimits(Struct, frozen=True):
    """A ``rate_limits`` block; ``None`` is no limit."""

    rpm: int | None = None
    tpm: int | None = None
    tph: int | None = None
    tpd: int | None = None
    concurrency: int | None = None
    tpm_mode: WindowMode = WindowMode.SMOOTH
    tph_mode: WindowMode = WindowMode.STRICT
    tpd_mode: WindowMode = WindowMode.STRICT


class ProvisionedKey(Struct, frozen=True):
    """A key of the file: its secret, or the SHA-256 of one that another gateway issued. One of the two is there."""

    name: str
    models: tuple[str, ...]
    secret: Secret | None = None
    """32 to 256 of ``[A-Za-z0-9_-]``."""
    secret_sha256: Secret | None = None
    """64 hexadecimal digits. No secret, but kept out of log lines: of a weak secret it gives too much away."""
    tags: tuple[tuple[str, str], ...] = ()
    expires_at: str | None = None
    """RFC 3339."""
    budgets: tuple[ProvisionedBudget, ...] = ()
    rate_limits: ProvisionedRateLimits | None = None
    residency: ResidencyPolicy | None = None


class ProvisionedNamedLimits(Struct, frozen=True):
    """Limits of an end user, a model or a tag (``name=value``) of an organization; ``*`` is each one for itself."""

    name: str
    budgets: tuple[ProvisionedBudget, ...] = ()
    rate_limits: ProvisionedRateLimits | None = None


class ProvisionedProject(Struct, frozen=True):
    """A project of the file."""

    slug: str
    name: str
    keys: tuple[ProvisionedKey, ...] = ()
    budgets: tuple[ProvisionedBudget, ...] = ()
    rate_limits: ProvisionedRateLimits | None = None
    residency: ResidencyPolicy | None = None


class ProvisionedTeam(Struct, frozen=True):
    """A team of the file."""

    slug: str
    name: str
    keys: tuple[ProvisionedKey, ...] = ()
    projects: tuple[ProvisionedProject, ...] = ()
    budgets: tuple[ProvisionedBudget, ...] = ()
    rate_limits: ProvisionedRateLimits | None = None
    residency: ResidencyPolicy | None = None


class ProvisionedUser(Struct, frozen=True):
    """A person of the file with roles on the organization."""

    email: str
    name: str
    roles: tuple[str, ...] = ()
    budgets: tuple[ProvisionedBudget, ...] = ()
    rate_limits: ProvisionedRateLimits | None = None
    residency: ResidencyPolicy | None = None


class ProvisionedOrganization(Struct, frozen=True):
    """An organization of the file."""

    slug: str
    name: str
    time_zone: str = "UTC"
    keys: tuple[ProvisionedKey, ...] = ()
    teams: tuple[ProvisionedTeam, ...] = ()
    users: tuple[ProvisionedUser, ...] = ()
    budgets: tuple[ProvisionedBudget, ...] = ()
    rate_limits: ProvisionedRateLimits | None = None
    residency: ResidencyPolicy | None = None
    end_users: tuple[ProvisionedNamedLimits, ...] = ()
    models: tuple[ProvisionedNamedLimits, ...] = ()
    tags: tuple[ProvisionedNamedLimits, ...] = ()


LEDGER_FILE: Final = "ledger.db"
"""The ledger's journal, in the data directory."""
CACHE_FILE: Final = "cache.db"
"""Answers that may be given again, in the data directory. It may be deleted while the gateway is stopped."""


class Settings(Struct, frozen=True):
    """Everything a gateway is built from."""

    server: ServerSettings = ServerSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    storage: StorageSettings = StorageSettings()
    providers: tuple[ProviderSettings, ...] = ()
    models: tuple[ModelSettings, ...] = ()
    prices: PriceSettings = PriceSettings()
    cache: CacheSettings | None = None
    """``None``: no answer is kept."""
    ledger: LedgerSettings = LedgerSettings()
    keys: KeySettings = KeySettings()
    organizations: tuple[ProvisionedOrganization, ...] = ()
    data_dir: str = "data"
    """Where the embedded database and the admin token lie: the directory of ``storage.database``, or ``data``."""
