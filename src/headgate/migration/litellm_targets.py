"""One deployment of LiteLLM → the provider and the model it becomes here, or the reason why it becomes none.

An option's own row has said what it contributes (`finding.Verdict.puts`: the facts); here the facts meet: which kind of
provider they make, at which address, with which credential and price.
"""

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from msgspec import Struct

from headgate.domain.catalog import Price, Rates
from headgate.domain.money import format_usd
from headgate.migration.finding import Verdict, approximated, refused, translated
from headgate.migration.given import plain
from headgate.migration.litellm_vendors import (
    APPEND_V1,
    AS_IS,
    FIXED,
    MODES,
    NAMES,
    ORIGIN,
    OTHER_ENDPOINTS,
    ROUTES,
    STAND_INS,
    Route,
)
from headgate.providers.compatible import OPENAI_COMPATIBLE, VENDORS
from headgate.settings import values

Facts = Mapping[str, Any]
"""What the options of one entry contribute, by name."""
PriceOf = Callable[[str, str], Price | None]
"""Provider of the catalogue and model → what the catalogue says it costs."""

NAME: Final = "{provider}"
"""Stands in reasons for the provider's name, which is allotted later."""
_UNPRICED: Final = (
    "no price is known for it, so requests are refused with unpriced_model: give the deployment a price, or set "
    "prices.unpriced: ceiling"
)
_ORIGIN: Final = re.compile(r"(https?://[^/?#]+)([^?#]*)")
_OWN_HOSTS: Final = {"openai": re.compile(r"https://([a-z0-9-]+\.)*openai\.com(/.*)?")}
_NANO: Final = Decimal("1e-9")
_GIVEN: Final = {"input_per_mtok": "input", "output_per_mtok": "output"}


class UnfitError(ValueError):
    """A deployment that Headgate cannot have; the text says why and what to do."""


class Target(Struct, frozen=True):
    """What one deployment becomes."""

    kind: str
    provider: tuple[tuple[str, Any], ...]
    """The settings of its provider; deployments with the same ones share one."""
    model: str
    price: dict[str, Any] | str | None
    region: str | None
    verdicts: Mapping[str, Verdict]
    """By fact: what became of the options that contributed them."""


def target_of(facts: Facts, price_of: PriceOf) -> Target:
    """Return what the facts of one entry make.

    Raises:
        UnfitError: nothing that Headgate can serve.
    """
    route, model, notes = _route_of(facts)
    assert route.kind is not None, "an unfit prefix was refused"
    verdicts: dict[str, Verdict] = {}
    kind, base_url, private = _address(route, facts, verdicts)
    vendor = VENDORS[kind]
    mode = facts.get("mode", "")
    if mode == "embedding" and "openai_embeddings" not in vendor.wire_formats:
        raise UnfitError(f"embeddings of {vendor.title} are not served yet")
    settings: dict[str, Any] = {"kind": kind}
    if base_url is not None:
        settings["base_url"] = base_url
    region = _vendor_region(kind, facts, verdicts)
    if region is not None:
        settings["region"] = region
    credential = _credential(kind, route, facts, verdicts)
    if credential is not None:
        settings["credential"] = credential
    if private:
        settings["allow_private_network"] = True
    timeouts = tuple((name.partition(".")[2], text) for name, text in facts.items() if name.startswith("timeouts."))
    if timeouts:
        settings["timeouts"] = timeouts
    headers = _headers(facts, verdicts)
    if headers:
        settings["headers"] = headers
    price = _price(kind, model, facts, price_of, verdicts)
    if price is None and not vendor.local and not _is_known(kind, model, price_of):
        notes = (*notes, _UNPRICED)
    became = f'becomes the model "{model}" of {NAME}'
    verdicts["model"] = approximated("; ".join((became, *notes))) if notes else translated(became)
    verdicts |= _plain_verdicts(facts)
    return Target(kind, tuple(settings.items()), model, price, facts.get("deployment.region"), verdicts)


def _route_of(facts: Facts) -> tuple[Route, str, tuple[str, ...]]:
    """Return the row of the vendor, the model's name there, and what differs."""
    text, vendor = facts.get("model"), facts.get("vendor")
    if text is None:
        raise UnfitError("litellm_params.model is missing")
    if "${" in text:
        raise UnfitError("a variable names the model: write the model's name")
    _refuse_unbuilt(text, facts.get("mode", ""))
    word, slash, rest = text.partition("/")
    if vendor is not None:
        word, rest = vendor, text.removeprefix(f"{vendor}/")
    elif not slash:
        word, rest = next((prefix for start, prefix in NAMES if text.startswith(start)), ""), text
    if word not in ROUTES:
        raise UnfitError(
            f'there is no kind of provider for "{text}"; where it speaks OpenAI\'s format, write openai/MODEL with its '
            "api_base"
        )
    route = ROUTES[word]
    if route.kind is None:
        raise UnfitError(f'"{text}" is left out: {route.note}')
    notes = (route.note,) if route.note else ()
    marker = next((marker for marker in route.markers if rest.startswith(marker)), None)
    if marker is not None:
        rest = rest.removeprefix(marker)
        notes = (*notes, f'requests go to the chat endpoint, whatever "{marker}" means')
    _refuse_unserved(text, rest, route)
    if route.kind == "huggingface" and rest.count("/") == 2:
        host, _, rest = rest.partition("/")
        rest = f"{rest}:{host}"
    return route, rest, notes


def _refuse_unbuilt(text: str, mode: str) -> None:
    """Raise `UnfitError` for models of endpoints that are not built."""
    name = text.rpartition("/")[2]
    unbuilt = MODES.get(mode) or next((what for start, what in OTHER_ENDPOINTS if name.startswith(start)), None)
    if unbuilt is not None:
        raise UnfitError(f'"{text}" is left out: not built yet: {unbuilt}')


def _refuse_unserved(text: str, model: str, route: Route) -> None:
    """Raise `UnfitError` for models that the kind's endpoint does not have, or cannot be named here."""
    profile, _, rest = model.partition(".")
    bare = rest if profile in ("us", "eu", "apac", "global") else model
    if route.only and not bare.startswith(route.only):
        raise UnfitError(
            f'"{text}" is left out: not built yet: Bedrock\'s Converse API; models that Bedrock offers on its '
            "OpenAI-compatible endpoint can be added by hand (kind: bedrock)"
        )
    try:
        values.parse_alias(model)
    except ValueError as error:
        raise UnfitError(
            f'"{text}" is left out: {str(error) or "a model has 1 to 200 characters, no blanks"}'
        ) from None


def _address(route: Route, facts: Facts, verdicts: dict[str, Verdict]) -> tuple[str, str | None, bool]:
    """Return the kind, its ``base_url`` where it needs one, and whether the address may be private."""
    assert route.kind is not None, "an unfit prefix was refused"
    kind, base = route.kind, facts.get("base")
    vendor = VENDORS[kind]
    _judge_version(kind, facts, verdicts)
    if base is None:
        if kind == "azure":
            return kind, "${AZURE_API_BASE}", False
        if vendor.base_url is None:
            raise UnfitError(f"{vendor.title} needs an api_base")
        return kind, None, vendor.local
    if "${" in base:
        return _variable_address(route, base, vendor.local, verdicts)
    own = _OWN_HOSTS.get(kind)
    if own is not None and not own.fullmatch(base):
        kind = OPENAI_COMPATIBLE
    if route.base == FIXED:
        if vendor.base_url is not None and base.rstrip("/") in vendor.base_url:
            verdicts["base"] = translated(f"it is the address of kind: {kind}")
            return kind, None, False
        raise UnfitError(
            f"api_base: {vendor.title} at another address than its own speaks an API that is not built yet"
        )
    written = _written_address(route, base)
    try:
        values.parse_base_url(written, allow_private=True)
    except ValueError as error:
        raise UnfitError(f"api_base: {str(error) or 'expected a URL such as https://llm.example.com/v1'}") from None
    private = written.startswith("http://") or _is_private(written)
    became = f"becomes {NAME}.base_url"
    if private:
        became += ", which is allowed to be private and unencrypted (allow_private_network)"
    verdicts["base"] = translated(became)
    return kind, written, private or vendor.local


def _variable_address(
    route: Route, base: str, local: bool, verdicts: dict[str, Verdict]
) -> tuple[str, str | None, bool]:
    assert route.kind is not None, "an unfit prefix was refused"
    if route.base == FIXED:
        raise UnfitError(f"{VENDORS[route.kind].title} is reached at its own address only; take api_base out")
    kind = OPENAI_COMPATIBLE if route.kind in _OWN_HOSTS else route.kind
    verdicts["base"] = approximated(
        f"becomes {NAME}.base_url; if the variable names a private address or http://, set allow_private_network: true"
        if not local
        else f"becomes {NAME}.base_url, which is allowed to be private (allow_private_network)"
    )
    return kind, base + ("/v1" if route.base == APPEND_V1 else ""), local


def _written_address(route: Route, base: str) -> str:
    match = _ORIGIN.match(base)
    if route.base == ORIGIN and match is not None:
        return match[1]
    base = base.rstrip("/")
    if route.base == AS_IS:
        return base.removesuffix("/chat/completions")
    return base if base.endswith("/v1") else f"{base}/v1"


def _is_private(url: str) -> bool:
    try:
        values.parse_base_url(url, allow_private=False)
    except ValueError:
        return True
    return False


def _judge_version(kind: str, facts: Facts, verdicts: dict[str, Verdict]) -> None:
    if "version" in facts:
        verdicts["version"] = (
            approximated("Azure's v1 API takes no version: it is always the present one")
            if kind == "azure"
            else refused("no api-version is sent")
        )


def _vendor_region(kind: str, facts: Facts, verdicts: dict[str, Verdict]) -> str | None:
    if kind != "bedrock":
        if "region" in facts:
            verdicts["region"] = refused("only Bedrock's address has a region in it")
        return None
    region = facts.get("region", "${AWS_REGION_NAME}")
    try:
        values.parse_region(region if "${" not in region else "eu-west-1")
    except ValueError:
        raise UnfitError("aws_region_name is not the name of a region") from None
    verdicts["region"] = translated(f"becomes {NAME}.region")
    return region


def _credential(kind: str, route: Route, facts: Facts, verdicts: dict[str, Verdict]) -> str | None:
    """Return the credential as the file names it: always by a variable."""
    written = facts.get("credential")
    if written is not None:
        verdicts["credential"] = translated(f"becomes {NAME}.credential")
        return written
    if "literal" in facts:
        line, text = facts["literal"]
        if not VENDORS[kind].needs_credential and text.lower() in STAND_INS:
            verdicts["literal"] = approximated("a stand-in: the server asks for no credential, so none is sent")
            return None
        variable = f"{kind.upper()}_KEY_OF_LINE_{line}"
        verdicts["literal"] = approximated(
            f"a secret is not written into a file: put it into the variable {variable}, which {NAME}.credential names"
        )
        return f"${{{variable}}}"
    return None if route.environ is None else f"${{{route.environ}:-}}"


def _headers(facts: Facts, verdicts: dict[str, Verdict]) -> tuple[tuple[str, str], ...]:
    headers = dict(facts.get("headers", ()))
    for name, value in facts.items():
        if name.startswith("header."):
            headers[name.partition(".")[2]] = value
            verdicts[name] = translated(f"becomes {NAME}.headers.{name.partition('.')[2]}")
    return tuple(headers.items())


def _plain_verdicts(facts: Facts) -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}
    if "vendor" in facts:
        verdicts["vendor"] = translated("says which kind of provider it is")
    if "credential_name" in facts:
        verdicts["credential_name"] = translated("the values of credential_list are taken in here")
    if "mode" in facts:
        known = facts["mode"] in MODES
        verdicts["mode"] = translated("its endpoint is served") if known else refused("no such endpoint is known")
    return verdicts


# ── prices ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _price(
    kind: str, model: str, facts: Facts, price_of: PriceOf, verdicts: dict[str, Verdict]
) -> dict[str, Any] | str | None:
    """Return the price that the options state, else the catalogue's price of the model they name, else ``None``."""
    tables = _rates_by_tier(facts, verdicts)
    stated = tables.pop(0, {})
    price = _stated(stated, tables, facts.get("mode", ""), verdicts)
    base_model = facts.get("base_model")
    if base_model is None:
        return price
    if price is not None:
        verdicts["base_model"] = translated("the price that is stated beside it holds")
        return price
    name = base_model.rpartition("/")[2]
    catalogued = price_of(VENDORS[kind].price_provider or "openai", name)
    if catalogued is None:
        verdicts["base_model"] = refused(f'the catalogue has no price of "{name}": give the deployment one')
        return None
    if name == model:
        verdicts["base_model"] = translated("the catalogue knows the model's price by its name")
        return None
    verdicts["base_model"] = approximated(f'the catalogue\'s present price of "{name}" is written out')
    return _shown(catalogued)


def _rates_by_tier(facts: Facts, verdicts: dict[str, Verdict]) -> dict[int, dict[str, tuple[str, str]]]:
    """Return text and fact of every rate: above so many tokens → name → (text, fact)."""
    tables: dict[int, dict[str, tuple[str, str]]] = {}
    for fact, number in facts.items():
        if not fact.startswith("rate."):
            continue
        _, name, above = fact.split(".")
        assert isinstance(number, Decimal), "a price is never a float"
        # A price is kept in nano-USD per million tokens; what is finer is rounded up, as when it is billed.
        kept = number.quantize(_NANO, rounding=ROUND_CEILING)
        text = plain(kept)
        try:
            values.parse_rate(text)
        except ValueError:
            verdicts[fact] = refused("dearer than a price can be here")
            continue
        became = f'becomes price.{name}: "{text}"'
        verdicts[fact] = (
            translated(became)
            if kept == number
            else approximated(f"{became}, rounded up to a nano-USD per million tokens")
        )
        tables.setdefault(int(above), {})[name] = (text, fact)
    return tables


def _stated(
    stated: Mapping[str, tuple[str, str]],
    tiers: Mapping[int, Mapping[str, tuple[str, str]]],
    mode: str,
    verdicts: dict[str, Verdict],
) -> dict[str, Any] | str | None:
    price: dict[str, Any] = {name: text for name, (text, _) in stated.items()}
    if mode == "embedding" and "input_per_mtok" in price:
        price.setdefault("output_per_mtok", "0")
    if not price.keys() >= _GIVEN.keys():
        for _, fact in (*stated.values(), *(each for tier in tiers.values() for each in tier.values())):
            verdicts[fact] = refused(
                "a price needs input_cost_per_token and output_cost_per_token; the catalogue's holds"
            )
        return None
    written: list[dict[str, Any]] = []
    for above in sorted(tiers):
        rates = {name: text for name, (text, _) in tiers[above].items()}
        if rates.keys() >= _GIVEN.keys():
            written.append({"above_input_tokens": above, **_in_order(rates)})
            continue
        for _, fact in tiers[above].values():
            verdicts[fact] = refused("a tier needs a price of input and one of output")
    if not written and all(Decimal(text) == 0 for text in price.values()):
        return "free"
    return {**_in_order(price), **({"tiers": written} if written else {})}


def _in_order(rates: Mapping[str, str]) -> dict[str, str]:
    return {name: rates[name] for name in sorted(rates, key=lambda name: (name not in _GIVEN, name))}


def _shown(price: Price) -> dict[str, Any]:
    """Return a price of the catalogue as the file writes it."""
    tiers = [{"above_input_tokens": tier.above_input_tokens, **_rates(tier.rates)} for tier in price.tiers]
    return {**_rates(price.rates), **({"tiers": tiers} if tiers else {})}


def _rates(rates: Rates) -> dict[str, str]:
    shown = {
        "input_per_mtok": rates.input,
        "output_per_mtok": rates.output,
        "cached_input_per_mtok": rates.cached_input,
        "cache_write_per_mtok": rates.cache_write,
        "input_audio_per_mtok": rates.input_audio,
        "output_audio_per_mtok": rates.output_audio,
    }
    return {name: format_usd(nano) for name, nano in shown.items() if nano is not None}


def _is_known(kind: str, model: str, price_of: PriceOf) -> bool:
    """Whether the catalogue has a price; of a glob, whether it has any of that vendor."""
    provider = VENDORS[kind].price_provider
    return provider is not None and (model.endswith("*") or price_of(provider, model) is not None)
