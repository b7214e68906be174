"""LiteLLM's virtual keys → the desired state that ``headgate apply`` takes, with a verdict on every field of every row.

A key comes by the SHA-256 of its secret, which is what LiteLLM's table holds as ``token`` (its ``hash_token``). The
fields are those of its LiteLLM_VerificationToken table, as /key/info and /key/list show them (read in October 2026).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from headgate.migration import litellm_limits as limits
from headgate.migration.finding import (
    UNKNOWN,
    Finding,
    Outcome,
    Verdict,
    absent,
    approximated,
    not_built,
    refused,
    translated,
)
from headgate.migration.given import literal
from headgate.migration.litellm_export import Export, Row, as_row
from headgate.migration.litellm_values import looks_secret

_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}")
_NOT_SLUG: Final = re.compile(r"[^a-z0-9]+")
_TAG_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_MODELS: Final = 64
_MAX_TAGS: Final = 16
_MAX_TAG: Final = 256
_UI_TEAM: Final = "litellm-dashboard"
_ALL_MODELS: Final = ("all-proxy-models", "all-team-models")
_NO_MODELS: Final = "no-default-models"
_INFERRING_ROUTES: Final = ("llm_api_routes", "/*", "*")
_INFERRING_TYPES: Final = ("default", "llm_api")

_OF_MODEL: Final = absent(
    "a limit here is of a key or of a model, not of one model of one key: give the model a limit in the organization "
    "(`headgate limits set --model`), or its users a key of their own"
)
_TABLE: Final = absent(
    "the limits of LiteLLM's table of budgets are not read: give the key its own with `headgate budgets create`"
)
_OURS: Final = absent("Headgate keeps times, authors and rotations of its own from the import on")
_GUARDRAILS: Final = not_built("guardrails", "neither input nor output is checked")


class Known(Struct, frozen=True):
    """What is known beside the rows."""

    groups: Mapping[str, tuple[str, ...]]
    """Access group → aliases."""
    aliases: tuple[str, ...]


class Key(Struct, frozen=True):
    """A key that is written."""

    organization: str
    team: tuple[str, str] | None
    """Slug and name."""
    settings: dict[str, Any]


class UnfitKeyError(ValueError):
    """A row that becomes no key; the text says why."""


Judge = Callable[[Any, dict[str, Any], Known], Verdict]
FieldHandling = Verdict | Judge
"""A row of the table of fields."""


def _token(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    text = str(value)
    if _DIGEST.fullmatch(text):
        return translated("becomes secret_sha256: the key keeps working", ("secret_sha256", text.lower()))
    if text.startswith("sk-"):
        digest = sha256(text.encode()).hexdigest()
        return translated(
            "its SHA-256 becomes secret_sha256; the secret itself is not written", ("secret_sha256", digest)
        )
    raise UnfitKeyError("its token is neither a SHA-256 as 64 hexadecimal digits nor a secret that starts with sk-")


def _models(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    if value is not None and not isinstance(value, list):
        raise UnfitKeyError("its models are no list, so nothing says which models it may send")
    given = cast("list[Any]", value or [])
    names = [name for name in given if isinstance(name, str) and name and _line(name) == name]
    if len(names) < len(given):
        raise UnfitKeyError("one of its models is no name: 1 to 200 printable characters")
    if names == [_NO_MODELS]:
        raise UnfitKeyError("it may send no model of its own")
    wide = "any model, provider/model of a configured provider included"
    if not names or any(name in _ALL_MODELS for name in names):
        team = "; its team's own list is not in the export" if row.get("team_id") else ""
        return approximated(f'becomes models: ["*"]: {wide}{team}', ("models", ["*"]))
    written: list[str] = []
    for name in names:
        written += known.groups.get(name, (name,)) if name not in known.aliases else (name,)
    written = [name for name in dict.fromkeys(written) if name != _NO_MODELS]
    if len(written) > _MAX_MODELS:
        raise UnfitKeyError(f"it names {len(written)} models and a key holds {_MAX_MODELS}: use globs")
    puts = ("models", written)
    if any(name in known.groups and name not in known.aliases for name in names):
        return approximated("becomes models, with the access groups written out as they are today", puts)
    return translated("becomes models", puts)


def _expires(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    try:
        moment = datetime.fromisoformat(str(value))
        naive = moment.tzinfo is None
        moment = moment.replace(tzinfo=UTC) if naive else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnfitKeyError(
            "its expires is no time, and a key that should end must not become one that does not"
        ) from None
    # No finer than milliseconds, and never later than it was.
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return translated(f"becomes expires_at{', taken as UTC' if naive else ''}", ("expires_at", text))


def _blocked(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    return translated("becomes blocked", ("blocked", str(value).lower() == "true"))


def _team(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del known
    if value == _UI_TEAM:
        raise UnfitKeyError("it is a login session of LiteLLM's own console")
    name = _line(row.get("team_alias")) or _line(value)
    if not name:
        raise UnfitKeyError("its team_id is no text")
    return translated("becomes its team", ("team", (str(value), name)))


def _organization(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    if not _line(value):
        raise UnfitKeyError("its organization is no text")
    return translated("becomes its organization", ("organization", str(value)))


def _tag(name: str) -> Judge:
    def judge(value: Any, row: dict[str, Any], known: Known) -> Verdict:
        del row, known
        text = _line(value)
        if not text or len(text) > _MAX_TAG:
            return refused("it does not fit into a tag")
        return approximated(f"becomes the tag {name}, which every record of the key carries", (f"tag.{name}", text))

    return judge


def _metadata(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    kept: dict[str, str] = {}
    for name, each in given.items():
        text = _line(each) if isinstance(each, str | bool) else ""
        fits = text and len(text) <= _MAX_TAG and _TAG_NAME.fullmatch(name)
        if fits and name not in _OWN_TAGS and not looks_secret(name):
            kept[name] = text
    left = sorted(given.keys() - kept.keys())
    if not kept:
        return refused(f"only texts become tags; left out: {', '.join(left) or 'it is no object'}")
    puts = tuple((f"tag.{name}", text) for name, text in kept.items())
    rest = f"; left out: {', '.join(left)}" if left else ""
    return approximated(f"its texts become tags: {', '.join(kept)}{rest}", *puts)


def _routes(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    routes = [str(each) for each in cast("list[Any]", value)] if isinstance(value, list) else [str(value)]
    if all(route in _INFERRING_ROUTES for route in routes):
        return translated("a key infers and does nothing else")
    raise UnfitKeyError("its allowed_routes hold it to less than inference, which a key here cannot be")


def _key_type(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    if value in _INFERRING_TYPES:
        return translated("a key infers and does nothing else")
    raise UnfitKeyError(f"it is a key for management ({_line(value)}): give its owner a personal access token")


def _name(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    return translated("becomes its name", ("name", _line(value)))


def _masked(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del known
    if row.get("key_alias"):
        return refused("the key goes by its alias; no last characters are shown of a key known by its digest")
    return approximated("becomes its name, because it has no alias", ("name", _line(value)))


def _budget(field: str, mode: str) -> Judge:
    def judge(value: Any, row: dict[str, Any], known: Known) -> Verdict:
        del known
        return limits.budget(field, value, row.get("budget_duration"), mode)

    return judge


def _budget_limits(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del row, known
    return limits.windows("budget_limits", value)


def _duration(value: Any, row: dict[str, Any], known: Known) -> Verdict:
    del value, known
    return limits.duration_of(row)


def _rate(field: str, name: str) -> Judge:
    def judge(value: Any, row: dict[str, Any], known: Known) -> Verdict:
        del row, known
        return limits.rate(field, value, name)

    return judge


FIELDS: Final[dict[str, FieldHandling]] = {
    "token": _token,
    "key_alias": _name,
    "key_name": _masked,
    "models": _models,
    "team_id": _team,
    "team_alias": translated("becomes its team's name"),
    "org_id": _organization,
    "organization_id": _organization,
    "user_id": _tag("user_id"),
    "project_id": _tag("project_id"),
    "agent_id": _tag("agent_id"),
    "expires": _expires,
    "blocked": _blocked,
    "metadata": _metadata,
    "tags": refused("tags here have a name and a value"),
    "allowed_routes": _routes,
    "key_type": _key_type,
    "spend": refused("what the key has spent stays in LiteLLM: here it starts at zero"),
    "model_spend": refused("what the key has spent stays in LiteLLM: here it starts at zero"),
    "max_budget": _budget("max_budget", "enforce"),
    "soft_budget": _budget("soft_budget", "audit"),
    "soft_budget_cooldown": not_built("alerts", "nobody is told"),
    "budget_duration": _duration,
    "budget_reset_at": absent("periods begin by the calendar"),
    "budget_id": _TABLE,
    "budget_limits": _budget_limits,
    "budget_fallbacks": not_built("fallbacks", "a request that does not fit its budget is refused"),
    "model_max_budget": _OF_MODEL,
    "litellm_budget_table": _TABLE,
    "tpm_limit": _rate("tpm_limit", "tpm"),
    "rpm_limit": _rate("rpm_limit", "rpm"),
    "tpd_limit": _rate("tpd_limit", "tpd"),
    "max_parallel_requests": _rate("max_parallel_requests", "concurrency"),
    "model_tpm_limit": _OF_MODEL,
    "model_rpm_limit": _OF_MODEL,
    "tag_rpm_limit": absent(
        "a limit here is of a key or of a tag, not of one tag of one key: see `headgate limits set --tag`"
    ),
    "aliases": not_built("aliases of one key", "the model's own name must be sent"),
    "config": absent("a key changes no configuration"),
    "permissions": not_built("permissions of one key", "the key may infer with its models"),
    "allowed_cache_controls": not_built("response caching", "every request goes to its provider"),
    "router_settings": not_built("routing over several deployments", "an alias has one"),
    "object_permission": absent("Headgate is no MCP gateway and searches no vector stores"),
    "object_permission_id": absent("Headgate is no MCP gateway and searches no vector stores"),
    "access_group_ids": not_built("access groups in the database", "name the models in the key"),
    "guardrails": _GUARDRAILS,
    "policies": _GUARDRAILS,
    "created_at": _OURS,
    "created_by": _OURS,
    "updated_at": _OURS,
    "updated_by": _OURS,
    "settings_updated_at": _OURS,
    "last_active": _OURS,
    "rotation_count": _OURS,
    "last_rotation_at": _OURS,
    "auto_rotate": not_built("rotation by itself", "rotate with `headgate keys rotate`"),
    "rotation_interval": not_built("rotation by itself", "rotate with `headgate keys rotate`"),
    "key_rotation_at": not_built("rotation by itself", "rotate with `headgate keys rotate`"),
}
"""How each field of a row is handled."""

_EMPTY: Final[tuple[Any, ...]] = (None, False, "", [], {})
_OWN_TAGS: Final = ("user_id", "project_id", "agent_id")
_SILENT_ZERO: Final = ("spend", "rotation_count")


def translate_keys(
    source: str, export: Export, known: Known, organization: str
) -> tuple[tuple[Key, ...], tuple[Finding, ...]]:
    """Return the keys that are written and a finding for every field that says something.

    A field that is null, false or empty says nothing, and neither does zero spend.
    """
    findings: list[Finding] = []
    keys: list[Key] = []
    places = _Places(organization)
    for row in export.rows:
        try:
            judged, facts = _judge(row, known)
            keys.append(places.place(facts))
        except (UnfitKeyError, limits.LimitError) as error:
            findings.append(_found(source, row, "", refused(f"the key is left out: {error}")))
            continue
        findings += [_found(source, row, f".{field}", verdict) for field, verdict in judged]
    if export.missing is not None:
        whole = Row(0, 1, 1, None)
        findings.append(replace(_found(source, whole, "", refused(export.missing)), option="keys"))
    return tuple(keys), tuple(findings)


def _judge(row: Row, known: Known) -> tuple[list[tuple[str, Verdict]], dict[str, Any]]:
    if isinstance(row.value, str):
        raise UnfitKeyError("only its hash is there: export with /key/list?return_full_object=true")
    fields = as_row(row.value)
    if fields is None:
        raise UnfitKeyError("expected an object")
    if not fields.get("token"):
        raise UnfitKeyError("it has no token")
    judged: list[tuple[str, Verdict]] = []
    facts: dict[str, Any] = {}
    if "models" not in fields:
        raise UnfitKeyError("the export does not say which models it may send")
    for field, value in fields.items():
        if field != "models" and _says_nothing(field, value):
            continue
        handling = FIELDS.get(field, UNKNOWN)
        verdict = handling if isinstance(handling, Verdict) else handling(value, fields, known)
        tags = sum(name.startswith("tag.") for name in facts)
        if tags + sum(name.startswith("tag.") for name, _ in verdict.puts) > _MAX_TAGS:
            verdict = refused(f"a key holds {_MAX_TAGS} tags")
        facts |= limits.tighter(facts, verdict)
        judged.append((field, verdict))
    return judged, facts


def _says_nothing(field: str, value: Any) -> bool:
    if field in _SILENT_ZERO and not str(value).strip("0."):
        return True
    return any(value == empty for empty in _EMPTY)


def _line(value: Any) -> str:
    """Return a text as one line of at most 200 characters; empty where it is no single value."""
    if isinstance(value, bool):
        return str(value).lower()
    text = value if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:200].strip()


class _Places:
    """Slugs and names that are taken, over one run."""

    def __init__(self, organization: str) -> None:
        self._default = organization
        self._slugs: dict[tuple[str, str], str] = {}
        self._names: set[tuple[str, str, str]] = set()
        self._digests: set[str] = set()

    def place(self, facts: dict[str, Any]) -> Key:
        """Return the key where it hangs, with a name that is its own there."""
        if facts["secret_sha256"] in self._digests:
            raise UnfitKeyError("a row before it has the same token")
        self._digests.add(facts["secret_sha256"])
        given = facts.get("organization")
        organization = self._default if given is None else self._slug("", given, given)
        team = None
        if "team" in facts:
            team_id, name = facts["team"]
            team = (self._slug(organization, team_id, name), literal(name))
        name = facts.get("name") or f"litellm-{facts['secret_sha256'][:12]}"
        unique, count = name, 1
        while (organization, team[0] if team else "", unique) in self._names:
            count += 1
            unique = f"{name[:190]} ({count})"
        self._names.add((organization, team[0] if team else "", unique))
        tags = {key.removeprefix("tag."): literal(text) for key, text in facts.items() if key.startswith("tag.")}
        settings: dict[str, Any] = {
            "name": literal(unique),
            "models": [literal(model) for model in facts["models"]],
            "secret_sha256": facts["secret_sha256"],
        }
        settings |= {field: facts[field] for field in ("expires_at", "blocked") if field in facts}
        if tags:
            settings["tags"] = tags
        settings |= limits.written(facts)
        return Key(organization, team, settings)

    def _slug(self, above: str, identity: str, name: str) -> str:
        known = self._slugs.get((above, identity))
        if known is not None:
            return known
        base = _NOT_SLUG.sub("-", name.lower()).strip("-")[:50].strip("-") or "imported"
        taken = {slug for (place, _), slug in self._slugs.items() if place == above}
        if not above:
            taken.add(self._default)
        slug, count = base, 1
        while slug in taken:
            count += 1
            slug = f"{base}-{count}"
        self._slugs[above, identity] = slug
        return slug


def _found(source: str, row: Row, field: str, verdict: Verdict) -> Finding:
    return Finding(
        source=source,
        line=row.line,
        end_line=row.end_line,
        option=f"keys[{row.number}]{field}",
        outcome=Outcome(verdict.outcome),
        reason=verdict.reason,
    )
