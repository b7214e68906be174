"""The ``organizations`` block: scopes, people and keys that the file owns."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from headgate.domain.access import PRIORITY_TAG, Priority, Role
from headgate.domain.residency import ResidencyPolicy
from headgate.settings import blocks, limits, values
from headgate.settings.keys import KEYS
from headgate.settings.limits import Ceilings
from headgate.settings.model import (
    ProvisionedKey,
    ProvisionedOrganization,
    ProvisionedProject,
    ProvisionedTeam,
    ProvisionedUser,
    Secret,
)
from headgate.settings.reader import Block, Place
from headgate.settings.residency import residency

_SLUG: Final = '1 to 63 of a-z, 0-9 and "-", such as "ml-platform"'
_PRIORITIES: Final = tuple(priority.value for priority in Priority)
_ROLES: Final = tuple(role.value for role in Role)


class _Named(Protocol):
    @property
    def slug(self) -> str: ...


N = TypeVar("N", bound=_Named)


class _Seen(Struct, frozen=True):
    """What must be unique over the whole file: digests of secrets, with the line that has each."""

    secrets: dict[bytes, int | None]


class _Above(Struct, frozen=True):
    """What the blocks further out lay on those within."""

    ceilings: Ceilings
    residency: ResidencyPolicy | None


def organizations(place: Place) -> tuple[ProvisionedOrganization, ...]:
    """Read the list of organizations with everything below them."""
    seen = _Seen(secrets={})
    return _scopes(place, "organizations", lambda item: _organization(item, seen))


def _scopes(place: Place, noun: str, read: Callable[[Place], N]) -> tuple[N, ...]:
    """Read a list of scopes whose slugs differ."""
    lines: dict[str, int | None] = {}
    found: list[N] = []
    for item in place.items(f"a list of {noun} such as [{{slug: acme}}]"):
        scope = read(item)
        item.once(lines, scope.slug, "slug")
        found.append(scope)
    return tuple(found)


def _identity(block: Block) -> tuple[str, str]:
    """Return slug and name; the name is the slug where it is left out."""
    slug = block.require("slug", _SLUG).convert(values.parse_slug, _SLUG)
    return slug, block.read("name", blocks.line, slug)


def _organization(place: Place, seen: _Seen) -> ProvisionedOrganization:
    block = place.block(KEYS["organizations[]"])
    slug, name = _identity(block)
    budgets, ceilings = limits.budgets(block)
    policy, bound = residency(block)
    below = _Above(ceilings, bound)
    return ProvisionedOrganization(
        slug=slug,
        name=name,
        time_zone=block.read("time_zone", _time_zone, "UTC"),
        budgets=budgets,
        rate_limits=block.read("rate_limits", limits.rate_limits, None),
        residency=policy,
        keys=block.read("keys", lambda given: _keys(given, seen, below), ()),
        teams=block.read("teams", lambda given: _scopes(given, "teams", lambda item: _team(item, seen, below)), ()),
        users=block.read("users", lambda given: _users(given, below), ()),
        end_users=block.read("end_users", limits.end_users, ()),
        models=block.read("models", limits.models, ()),
        tags=block.read("tags", limits.tags, ()),
    )


def _time_zone(place: Place) -> str:
    return place.convert(values.parse_time_zone, 'a time zone such as "Europe/Berlin"')


def _team(place: Place, seen: _Seen, above: _Above) -> ProvisionedTeam:
    block = place.block(KEYS["organizations[].teams[]"])
    slug, name = _identity(block)
    budgets, ceilings = limits.budgets(block, above.ceilings)
    policy, bound = residency(block, above.residency)
    below = _Above(ceilings, bound)
    return ProvisionedTeam(
        slug=slug,
        name=name,
        budgets=budgets,
        rate_limits=block.read("rate_limits", limits.rate_limits, None),
        residency=policy,
        keys=block.read("keys", lambda given: _keys(given, seen, below), ()),
        projects=block.read("projects", lambda given: _projects(given, seen, below), ()),
    )


def _projects(place: Place, seen: _Seen, above: _Above) -> tuple[ProvisionedProject, ...]:
    return _scopes(place, "projects", lambda item: _project(item, seen, above))


def _project(place: Place, seen: _Seen, above: _Above) -> ProvisionedProject:
    block = place.block(KEYS["organizations[].teams[].projects[]"])
    slug, name = _identity(block)
    budgets, ceilings = limits.budgets(block, above.ceilings)
    policy, bound = residency(block, above.residency)
    below = _Above(ceilings, bound)
    return ProvisionedProject(
        slug=slug,
        name=name,
        budgets=budgets,
        rate_limits=block.read("rate_limits", limits.rate_limits, None),
        residency=policy,
        keys=block.read("keys", lambda given: _keys(given, seen, below), ()),
    )


def _keys(place: Place, seen: _Seen, above: _Above) -> tuple[ProvisionedKey, ...]:
    lines: dict[str, int | None] = {}
    found: list[ProvisionedKey] = []
    for item in place.items('a list of keys such as [{name: ci, models: ["*"], secret: "${CI_KEY}"}]'):
        key = _key(item, seen, above)
        item.once(lines, key.name, "key name")
        found.append(key)
    return tuple(found)


def _key(place: Place, seen: _Seen, above: _Above) -> ProvisionedKey:
    block = place.block(KEYS["organizations[].keys[]"])
    secret, secret_sha256 = _secret(block, seen)
    return ProvisionedKey(
        name=block.require("name", 'such as "prod-ml-001"').convert(values.parse_line, "1 to 200 printable characters"),
        models=_models(block.require("models", 'such as ["gpt-4o", "claude-*"], or ["*"] for all')),
        secret=secret,
        secret_sha256=secret_sha256,
        tags=block.read("tags", _tags, ()),
        expires_at=block.read("expires_at", _moment, None),
        budgets=limits.budgets(block, above.ceilings)[0],
        rate_limits=block.read("rate_limits", limits.rate_limits, None),
        residency=residency(block, above.residency)[0],
    )


def _secret(block: Block, seen: _Seen) -> tuple[Secret | None, Secret | None]:
    """Return the secret or the digest of one, whichever is there, having refused both and a repetition."""
    secret = secret_sha256 = None
    place = block.values.get("secret_sha256")
    if place is None:
        place = block.require("secret", 'such as "${CI_KEY}" or {file: secrets/ci}')
        secret = place.secret(values.parse_provisioned_secret, "32 to 256 of A-Z, a-z, 0-9, _ and -")
        digest = sha256(secret.reveal().encode()).digest()
    elif "secret" in block.values:
        place.fail("stands beside secret; give one of the two")
    else:
        secret_sha256 = place.secret(values.parse_secret_sha256, "the SHA-256 of a secret as 64 hexadecimal digits")
        digest = bytes.fromhex(secret_sha256.reveal())
    if digest in seen.secrets:
        place.fail(f"is the same secret as on line {seen.secrets[digest]}; each key needs its own")
    seen.secrets[digest] = place.line
    return secret, secret_sha256


def _models(place: Place) -> tuple[str, ...]:
    items = place.items('a list of model names or globs such as ["gpt-4o", "claude-*"]')
    if not items:
        place.fail('an empty list allows no model; ["*"] allows all')
    return tuple(item.convert(values.parse_line, 'a model name or a glob such as "claude-*"') for item in items)


def _tags(place: Place) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for name, given in place.entries().items():
        try:
            values.parse_line(name)
        except ValueError:
            given.fail("a tag's name is 1 to 200 printable characters")
        found.append((name, given.choice(*_PRIORITIES) if name == PRIORITY_TAG else blocks.line(given)))
    return tuple(found)


def _moment(place: Place) -> str:
    return place.convert(values.parse_moment, 'a point in time such as "2027-01-31T00:00:00Z"')


def _users(place: Place, above: _Above) -> tuple[ProvisionedUser, ...]:
    lines: dict[str, int | None] = {}
    found: list[ProvisionedUser] = []
    for item in place.items("a list of people such as [{email: ada@example.com, roles: [admin]}]"):
        user = _user(item, above)
        item.once(lines, user.email, "address")
        found.append(user)
    return tuple(found)


def _user(place: Place, above: _Above) -> ProvisionedUser:
    block = place.block(KEYS["organizations[].users[]"])
    expected = 'an e-mail address such as "ada@example.com"'
    email = block.require("email", expected).convert(values.parse_email, expected)
    return ProvisionedUser(
        email=email,
        name=block.read("name", blocks.line, email),
        roles=block.read("roles", _roles, ()),
        budgets=limits.budgets(block, above.ceilings)[0],
        rate_limits=block.read("rate_limits", limits.rate_limits, None),
        residency=residency(block, above.residency)[0],
    )


def _roles(place: Place) -> tuple[str, ...]:
    roles = tuple(item.choice(*_ROLES) for item in place.items("a list of roles such as [analyst]"))
    return tuple(dict.fromkeys(roles))
