"""The ``models`` list: what clients may send as ``model``, where it leads, and what it costs there."""

from functools import partial
from typing import Final

from msgspec import UNSET

from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.domain.limits import MAX_TOKENS
from headgate.domain.routing import Strategy
from headgate.settings import document, values
from headgate.settings.aliases import Alias, Reference, judge
from headgate.settings.blocks import COUNT, SANDBOX, handling, region, weight
from headgate.settings.caching import alias_cache
from headgate.settings.keys import KEYS
from headgate.settings.model import (
    BalanceSettings,
    CacheSettings,
    DeploymentSettings,
    FallbackSettings,
    ModelSettings,
    ProviderSettings,
    RuleSettings,
    WhenSettings,
)
from headgate.settings.reader import Block, ErrorCollection, Place

CONFIGURED: Final = "configuration"
"""The version of a price that the file gives."""
LAST_PRIORITY: Final = 100

_NAME: Final = 'another alias such as "gpt-4o"'
_TOKENS: Final = "a count of tokens such as 200000"
_RATE: Final = 'USD per million tokens such as "2.50"'
_PRICE: Final = '"free" or rates such as {input_per_mtok: "2.50", output_per_mtok: "10"}'
_OF_DEPLOYMENTS: Final = ("strategy", "balance", "fallbacks")
"""Keys that say how deployments are chosen, so an alias that has none has no use for them."""


def models(
    place: Place, providers: tuple[ProviderSettings, ...], cache: CacheSettings | None = None
) -> tuple[ModelSettings, ...]:
    """Read the ``models`` list, whose deployments name some of ``providers``; ``cache`` is the block of that name."""
    is_sandbox = {provider.name: provider.kind == SANDBOX for provider in providers}
    seen: dict[str, int | None] = {}
    found: list[ModelSettings] = []
    aliases: list[Alias] = []
    errors = ErrorCollection()

    def add(item: Place) -> None:
        model = _model(item, is_sandbox, cache)
        item.once(seen, model.alias, "alias")
        found.append(model)
        aliases.append(_alias(model, item))

    for item in place.items("a list such as [{alias: gpt-4o, deployments: […]}]"):
        errors.read(partial(add, item), None)
    # An alias that could not be read is missing to those that lead to it: that would be said of the wrong one.
    errors.close()
    judge(aliases, is_sandbox)
    return tuple(found)


def _model(place: Place, is_sandbox: dict[str, bool], cache: CacheSettings | None) -> ModelSettings:
    block = place.block(KEYS["models[]"])
    alias_place = block.require("alias", "what clients send as the model's name")
    alias = alias_place.convert(values.parse_alias, 'a model name such as "gpt-4o" or a glob such as "sandbox/*"')
    use = block.read("use", _name, None)
    if use is None:
        given = block.require("deployments", f'such as [{{provider: openai, model: "gpt-4o"}}]; or use, for {_NAME}')
        deployments = _deployments(given, is_sandbox, alias)
    else:
        _refuse_beside_use(block)
        deployments = ()
    strategy = block.read("strategy", lambda given: Strategy(given.choice(*Strategy)), Strategy.PRIORITY)
    return ModelSettings(
        alias=alias,
        deployments=deployments,
        use=use,
        strategy=strategy,
        balance=block.read("balance", lambda given: _balance(given, strategy), BalanceSettings()),
        fallbacks=block.read("fallbacks", _fallbacks, FallbackSettings()),
        rules=block.read("rules", _rules, ()),
        cache=block.read("cache", partial(alias_cache, outer=cache), UNSET),
    )


def _alias(model: ModelSettings, place: Place) -> Alias:
    """Return the names that ``model`` leads to, each with its place: all of them must have been read before."""
    block = place.block(KEYS["models[]"])
    rules = block.read("rules", lambda given: given.items(""), ())
    fallbacks = block.read("fallbacks", lambda given: given.block(KEYS["models[].fallbacks"]).values, {})
    return Alias(
        name=model.alias,
        written=block.values["alias"].written(),
        providers=tuple(deployment.provider for deployment in model.deployments),
        use=block.read("use", _reference, None),
        rules=tuple(_reference(each.block(KEYS["models[].rules[]"]).values["use"]) for each in rules),
        fallbacks=tuple(_reference(each) for names in fallbacks.values() for each in names.items("")),
    )


def _reference(place: Place) -> Reference:
    return Reference(name=_name(place), place=place)


def _name(place: Place) -> str:
    """Read the name of another alias; whether there is such an alias is judged once all are read."""
    return place.convert(values.parse_model_name, _NAME)


def _refuse_beside_use(block: Block) -> None:
    given = block.values.get("deployments")
    if given is not None:
        given.fail("stands beside use; an alias has deployments of its own or stands for another alias")
    for key in _OF_DEPLOYMENTS:
        given = block.values.get(key)
        if given is not None:
            given.fail("stands beside use; give it to the alias that has the deployments")


def _balance(place: Place, strategy: Strategy) -> BalanceSettings:
    if strategy is not Strategy.BALANCED:
        place.fail(f'the strategy "{strategy}" weighs nothing; it belongs to "{Strategy.BALANCED}"')
    block, default = place.block(KEYS["models[].balance"]), BalanceSettings()
    balance = BalanceSettings(
        cost=block.read("cost", _importance, default.cost),
        latency=block.read("latency", _importance, default.latency),
        capacity=block.read("capacity", _importance, default.capacity),
        affinity=block.read("affinity", _importance, default.affinity),
    )
    if not (balance.cost or balance.latency or balance.capacity or balance.affinity):
        place.fail("at least one number is above 0")
    return balance


def _importance(place: Place) -> float:
    return place.convert(values.parse_importance, "a number of at least 0 such as 0.5")


def _fallbacks(place: Place) -> FallbackSettings:
    block = place.block(KEYS["models[].fallbacks"])
    return FallbackSettings(
        error=block.read("error", _names, ()),
        context_length=block.read("context_length", _names, ()),
        content_filter=block.read("content_filter", _names, ()),
    )


def _names(place: Place) -> tuple[str, ...]:
    found: list[str] = []
    for item in place.items("a list of aliases such as [claude-sonnet]"):
        name = _name(item)
        if name in found:
            item.fail("stands in the list twice")
        found.append(name)
    return tuple(found)


def _rules(place: Place) -> tuple[RuleSettings, ...]:
    found: list[RuleSettings] = []
    for item in place.items("a list of rules such as [{when: {tags: {tier: free}}, use: small}]"):
        block = item.block(KEYS["models[].rules[]"])
        when = _when(block.require("when", "such as {tags: {tier: free}}"))
        found.append(RuleSettings(when=when, use=_name(block.require("use", _NAME))))
    return tuple(found)


def _when(place: Place) -> WhenSettings:
    block = place.block(KEYS["models[].rules[].when"])
    when = WhenSettings(
        tags=block.read("tags", _tags, ()),
        user=block.read("user", _pattern, None),
        input_tokens_above=block.read("input_tokens_above", partial(_tokens, lowest=0), None),
        input_tokens_below=block.read("input_tokens_below", partial(_tokens, lowest=1), None),
    )
    if when == WhenSettings():
        place.fail(f"always holds: give at least one of {', '.join(KEYS['models[].rules[].when'])}")
    above, below = when.input_tokens_above, when.input_tokens_below
    if above is not None and below is not None and below - above < 2:
        place.fail("never holds: no count of tokens lies above input_tokens_above and below input_tokens_below")
    return when


def _tags(place: Place) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for name, given in place.entries().items():
        try:
            values.parse_line(name)
        except ValueError:
            given.fail("a tag's name is 1 to 200 printable characters")
        found.append((name, _pattern(given)))
    return tuple(found)


def _pattern(place: Place) -> str:
    return place.convert(values.parse_pattern, 'a text or a glob such as "bot-*", quoted where it is a number')


def _tokens(place: Place, lowest: int) -> int:
    return place.convert(partial(values.parse_count, lowest=lowest, highest=10**9), _TOKENS)


def _deployments(place: Place, is_sandbox: dict[str, bool], alias: str) -> tuple[DeploymentSettings, ...]:
    seen: dict[tuple[str, str], int | None] = {}
    found: list[DeploymentSettings] = []
    for item in place.items("a list such as [{provider: openai, …}]"):
        deployment = _deployment(item, tuple(is_sandbox), alias)
        target = deployment.provider, deployment.model
        if target in seen:
            item.fail(f"is the same model of the same provider as on line {seen[target]}; give that one more weight")
        seen[target] = item.line
        found.append(deployment)
    if not found:
        place.fail("an alias needs a deployment")
    if len({is_sandbox[deployment.provider] for deployment in found}) > 1:
        place.fail("the sandbox stands beside a real provider; its answers are made up and must not replace real ones")
    return tuple(found)


def _deployment(place: Place, providers: tuple[str, ...], alias: str) -> DeploymentSettings:
    block = place.block(KEYS["models[].deployments[]"])
    provider = block.require("provider", "the name of an entry of providers").choice(*providers)
    if "model" in block.values or not alias.endswith("*"):
        given = block.require("model", "what the provider calls the model")
        model = given.convert(values.parse_alias, 'a model name such as "gpt-4o"')
        if model.endswith("*") and not alias.endswith("*"):
            given.fail("a glob here needs a glob as the alias, whose rest it stands for")
    else:
        model = "*"
    price, free = block.read("price", _price, (None, False))
    rpm, tpm = block.read("limits", _limits, (None, None))
    return DeploymentSettings(
        provider=provider,
        model=model,
        region=block.read("region", region, None),
        price=price,
        price_free=free,
        weight=block.read("weight", _weight, 1),
        priority=block.read("priority", _priority, 0),
        rpm=rpm,
        tpm=tpm,
        handling=handling(block),
    )


def _weight(place: Place) -> int:
    return weight(place, "remove the deployment, or give it a later priority so that it is tried last")


def _priority(place: Place) -> int:
    return place.convert(partial(values.parse_count, lowest=0, highest=LAST_PRIORITY), COUNT)


def _limits(place: Place) -> tuple[int | None, int | None]:
    block = place.block(KEYS["models[].deployments[].limits"])
    rpm, tpm = block.read("rpm", _limit, None), block.read("tpm", _limit, None)
    if rpm is None and tpm is None:
        place.fail("limits nothing: give rpm or tpm")
    return rpm, tpm


def _limit(place: Place) -> int:
    return place.convert(partial(values.parse_count, lowest=1, highest=MAX_TOKENS), COUNT)


def _price(place: Place) -> tuple[Price | None, bool]:
    if not isinstance(place.node, document.Mapping):
        if place.text(_PRICE) != "free":
            place.fail(f"expected {_PRICE}")
        return None, True
    block = place.block(KEYS["models[].deployments[].price"])
    tiers = block.read("tiers", _tiers, ())
    return Price(rates=_rates(place, "models[].deployments[].price"), tiers=tiers, version=CONFIGURED), False


def _tiers(place: Place) -> tuple[PriceTier, ...]:
    found: list[PriceTier] = []
    key = "models[].deployments[].price.tiers[]"
    for item in place.items('a list such as [{above_input_tokens: 200000, input_per_mtok: "5", …}]'):
        above = (
            item.block(KEYS[key])
            .require("above_input_tokens", "such as 200000")
            .convert(partial(values.parse_count, lowest=1, highest=10**9), _TOKENS)
        )
        if found and above <= found[-1].above_input_tokens:
            item.fail("tiers stand by rising above_input_tokens")
        found.append(PriceTier(above_input_tokens=above, rates=_rates(item, key)))
    return tuple(found)


def _rates(place: Place, key: str) -> Rates:
    block = place.block(KEYS[key])
    return Rates(
        input=_rate(block.require("input_per_mtok", _RATE)),
        output=_rate(block.require("output_per_mtok", f'{_RATE}; "0" for models that only embed')),
        cached_input=block.read("cached_input_per_mtok", _rate, None),
        cache_write=block.read("cache_write_per_mtok", _rate, None),
        input_audio=block.read("input_audio_per_mtok", _rate, None),
        output_audio=block.read("output_audio_per_mtok", _rate, None),
    )


def _rate(place: Place) -> int:
    return place.convert(values.parse_rate, _RATE)
