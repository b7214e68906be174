"""The commands of budgets, rate limits and the ledger; the work is done in the files beside."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.cli.options import DEFAULT_URL, AsJson, DataDir, Token, Url, taken

budgets = typer.Typer(
    help="Budgets: so much money in every hour, day, week or month, or in total.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
limits = typer.Typer(
    help="Rate limits: requests and tokens per window, and requests at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ledger = typer.Typer(help="The ledger that budgets are kept in.", no_args_is_help=True, rich_markup_mode=None)

On = Annotated[
    str, typer.Option("--scope", metavar="SCOPE", help="What it hangs on: a scope, user or key by its id, or slugs.")
]
OnlyOn = Annotated[
    str | None, typer.Option("--scope", metavar="SCOPE", help="Only those on this: an id of a scope or key, or slugs.")
]
OfOrganization = Annotated[
    str | None, typer.Option("--organization", metavar="ORG", help="Only this organization's: an id or a slug.")
]
EndUser = Annotated[
    str | None, typer.Option("--end-user", metavar="NAME", help="Of this end user of the organization; `*`: of each.")
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Of this model in the organization; `*`: of each.")
]
Tag = Annotated[
    str | None, typer.Option("--tag", metavar="NAME=VALUE", help="Of this tag in the organization; `*`: of each.")
]
Count = Annotated[str | None, typer.Option(metavar="N", help="A number, or none to take it out.")]
Window = Annotated[str | None, typer.Option(metavar="MODE", help="smooth or strict.")]


@budgets.command("list")
def budgets_list(
    *,
    scope: OnlyOn = None,
    organization: OfOrganization = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """List budgets."""
    from headgate.cli import limiting
    from headgate.cli.client import connect

    limiting.list_budgets(connect(url, token, data_dir), scope, organization, limit, as_json=as_json)


@budgets.command("create")
def budgets_create(
    budget: Annotated[str, typer.Argument(metavar="AMOUNT/PERIOD", help="USD in every period, such as 5000/month.")],
    *,
    scope: On,
    end_user: EndUser = None,
    model: Model = None,
    tag: Tag = None,
    mode: Annotated[
        str | None, typer.Option(help="enforce (the default), or audit: count everything, refuse nothing.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Make a budget; periods are hour, day, week, month and total, in the organization's time zone."""
    from headgate.cli import limiting
    from headgate.cli.client import connect

    wanted = taken("AMOUNT/PERIOD", limiting.parse_budget, budget)
    mode = None if mode is None else taken("--mode", limiting.check_mode, mode)
    hanging = limiting.Hanging(scope, end_user, model, tag)
    limiting.create_budget(connect(url, token, data_dir), wanted, hanging, mode, as_json=as_json)


@budgets.command("update")
def budgets_update(
    budget: Annotated[str, typer.Argument(metavar="ID", help="The budget's id.")],
    *,
    amount: Annotated[str | None, typer.Option(metavar="USD", help="Its amount from now on.")] = None,
    mode: Annotated[str | None, typer.Option(help="enforce or audit.")] = None,
    override: Annotated[
        str | None, typer.Option(metavar="USD", help="Another amount for a while; needs --until.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="When the override ends, RFC 3339.")] = None,
    no_override: Annotated[bool, typer.Option("--no-override", help="End an override now.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Change a budget. What is spent stays spent; a request that runs keeps what it holds."""
    from headgate.cli import limiting
    from headgate.cli.client import connect

    changes: dict[str, Any] = {}
    if amount is not None:
        changes["amount_usd"] = taken("--amount", limiting.check_amount_usd, amount)
    if mode is not None:
        changes["mode"] = taken("--mode", limiting.check_mode, mode)
    if (override is None) != (until is None) or (no_override and override is not None):
        raise typer.BadParameter("give --override USD and --until TIME together, or --no-override alone")
    if override is not None:
        amount_usd = taken("--override", limiting.check_amount_usd, override)
        changes["override"] = {"amount_usd": amount_usd, "until": until}
    if no_override:
        changes["override"] = None
    if not changes:
        raise typer.BadParameter("nothing to change: give --amount, --mode, --override or --no-override")
    limiting.update_budget(connect(url, token, data_dir), budget, changes, as_json=as_json)


@budgets.command("delete")
def budgets_delete(
    budget: Annotated[str, typer.Argument(metavar="ID", help="The budget's id.")],
    *,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Take a budget off; from then on it refuses nothing."""
    from headgate.cli import limiting
    from headgate.cli.client import connect

    limiting.delete_budget(connect(url, token, data_dir), budget, as_json=as_json)


@limits.command("list")
def limits_list(
    *,
    scope: OnlyOn = None,
    organization: OfOrganization = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """List rate limits."""
    from headgate.cli import limiting
    from headgate.cli.client import connect

    limiting.list_limits(connect(url, token, data_dir), scope, organization, limit, as_json=as_json)


@limits.command("set")
def limits_set(
    *,
    scope: On,
    end_user: EndUser = None,
    model: Model = None,
    tag: Tag = None,
    rpm: Count = None,
    tpm: Count = None,
    tph: Count = None,
    tpd: Count = None,
    concurrency: Count = None,
    tpm_mode: Window = None,
    tph_mode: Window = None,
    tpd_mode: Window = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Set rate limits: requests a minute, tokens a minute, hour and day, requests at once. Others stay as they are."""
    from headgate.cli import limiting
    from headgate.cli.client import connect

    counts = zip(limiting.COUNTS, (rpm, tpm, tph, tpd, concurrency), strict=True)
    modes = zip(limiting.MODES, (tpm_mode, tph_mode, tpd_mode), strict=True)
    changes: dict[str, Any] = {
        name: taken(f"--{name}", limiting.parse_limit, text) for name, text in counts if text is not None
    }
    changes |= {
        name: taken(f"--{name.replace('_', '-')}", limiting.check_window_mode, text)
        for name, text in modes
        if text is not None
    }
    if not changes:
        raise typer.BadParameter("nothing to set: give --rpm, --tpm, --tph, --tpd or --concurrency")
    hanging = limiting.Hanging(scope, end_user, model, tag)
    limiting.set_limits(connect(url, token, data_dir), hanging, changes, as_json=as_json)


@limits.command("clear")
def limits_clear(
    *,
    scope: On,
    end_user: EndUser = None,
    model: Model = None,
    tag: Tag = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Take all rate limits off a scope, user or key, or off an end user, model or tag."""
    from headgate.cli import limiting
    from headgate.cli.client import connect

    hanging = limiting.Hanging(scope, end_user, model, tag)
    limiting.clear_limits(connect(url, token, data_dir), hanging, as_json=as_json)


@ledger.command("verify")
def ledger_verify(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the running gateway, which compares its memory too.")
    ] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Work every balance out again from the journal in DATA; a gateway may run meanwhile. Exit code 1: it is wrong."""
    from headgate.cli import ledgering
    from headgate.cli.client import connect

    if live:
        raise typer.Exit(ledgering.verify_live(connect(url, token, data_dir), as_json=as_json))
    raise typer.Exit(ledgering.verify_file(Path(data_dir), as_json=as_json))


# A negative amount begins like an option.
@ledger.command("adjust", context_settings={"ignore_unknown_options": True})
def ledger_adjust(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="USD to add to what is spent; -1.50 gives back.")],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stays in the ledger and the audit log.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Correct what is spent, such as by a provider's bill, on every budget of a key's path."""
    from headgate.cli import ledgering
    from headgate.cli.client import connect

    amount = taken("AMOUNT", ledgering.check_delta_usd, amount)
    ledgering.adjust(connect(url, token, data_dir), key, amount, reason, as_json=as_json)
