"""Every command and option on one screen; the work is done in the files beside, imported when the command runs.

The commands of budgets, rate limits and the ledger are in `limit_commands`, those of the cache in `cache_commands`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headgate.cli import cache_commands, limit_commands
from headgate.cli.options import DEFAULT_URL, AsJson, Config, DataDir, LogLevel, Token, Url, taken


class _ListByDefault(TyperGroup):
    """A group of commands that does ``list`` where no command is named: ``headgate requests --json``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Headgate: a self-hosted LLM gateway that meters what it lets through.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help needs no rich, which would take as long to import as all the rest.
    rich_markup_mode=None,
)
keys = typer.Typer(
    help="Virtual keys: what applications authenticate with.", no_args_is_help=True, rich_markup_mode=None
)
requests = typer.Typer(
    help="What happened to each request. Without a command: `list`.", cls=_ListByDefault, rich_markup_mode=None
)
prices = typer.Typer(help="The price catalogue.", no_args_is_help=True, rich_markup_mode=None)
imports = typer.Typer(help="Come from another gateway.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(imports, name="import")
app.add_typer(keys, name="keys")
app.add_typer(limit_commands.budgets, name="budgets")
app.add_typer(limit_commands.limits, name="limits")
app.add_typer(limit_commands.ledger, name="ledger")
app.add_typer(cache_commands.cache, name="cache")
app.add_typer(requests, name="requests")
app.add_typer(prices, name="prices")


def _version(wanted: bool) -> None:
    if wanted:
        from headgate import __version__

        print(f"headgate {__version__}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]  typer calls it
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    config: Config = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Listen on 127.0.0.1 and this port.")] = None,
    log_level: LogLevel = "info",
) -> None:
    """Run the gateway until it is told to stop (SIGTERM or Ctrl-C). SIGHUP reloads its configuration."""
    from headgate.cli import serving

    raise typer.Exit(serving.serve(config, listen, port, log_level))


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Listen on 127.0.0.1 and this port.")] = 4100,
    log_level: LogLevel = "warning",
) -> None:
    """Run a gateway in a throw-away directory, with an example organization and simulated traffic to look at."""
    from headgate.cli import demonstration

    raise typer.Exit(demonstration.demo(port, log_level))


@app.command("check-config")
def check_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration file.")], as_json: AsJson = False
) -> None:
    """Say whether a configuration file can be used, and if not, in which line and why."""
    from headgate.cli import checking

    checking.check_config(file, as_json=as_json)


@app.command()
def reload(url: Url = DEFAULT_URL, token: Token = None, data_dir: DataDir = "data", as_json: AsJson = False) -> None:
    """Have the running gateway take up its changed configuration file; one that it cannot use changes nothing."""
    from headgate.cli import reloading
    from headgate.cli.client import connect

    reloading.reload(connect(url, token, data_dir), as_json=as_json)


@app.command()
def migrate(config: Config = None) -> None:
    """Bring the database's tables up to this version."""
    from headgate.cli import migrating

    migrating.migrate(config)


@app.command()
def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Look at this machine and configuration for what would keep a gateway from running well."""
    from headgate.cli import doctoring

    raise typer.Exit(doctoring.doctor(config, as_json=as_json))


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON with an `organizations` block.")],
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would change.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Block what earlier applies made and FILE lacks.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Make scopes and keys as FILE says."""
    from headgate.cli import applying
    from headgate.cli.client import connect

    applying.apply(connect(url, token, data_dir), file, plan=plan, prune=prune, as_json=as_json)


@app.command()
def simulate(
    policy: Annotated[
        Path,
        typer.Option("--policy", metavar="FILE", help="The configuration to try: its providers and models."),
    ],
    *,
    against: Annotated[
        Path, typer.Option("--against", metavar="FILE", help="The configuration to compare it with.")
    ] = Path("headgate.yaml"),
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Replay a file of JSON Lines, plain or gzipped.")
    ] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Replay a made-up day of traffic.")] = False,
    from_records: Annotated[
        bool, typer.Option("--from-records", help="Replay the newest records of a running gateway.")
    ] = False,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339; records of no earlier requests.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="RFC 3339; only records before it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Replay at most so many requests.")] = 20_000,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Also write the trace, gzipped if FILE ends in .gz."),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Say what another configuration would have done with the same traffic: which requests change, cost, latency,
    refusals.

    Nothing is sent, and credentials need not be set. Exactly one of --trace, --synthetic and --from-records is given.
    """
    from headgate.cli import simulating
    from headgate.cli.client import connect

    if (trace is not None) + synthetic + from_records != 1:
        raise typer.BadParameter("give exactly one of the three", param_hint="--trace, --synthetic or --from-records")
    if (start or end) and not from_records:
        raise typer.BadParameter("only together with --from-records", param_hint="--from" if start else "--to")
    records = (lambda: connect(url, token, data_dir)) if from_records else None
    wanted = simulating.Wanted(policy, against, trace, synthetic, records, start, end, seed, limit, save)
    simulating.simulate(wanted, as_json=as_json)


@imports.command("litellm")
def import_litellm(
    configuration: Annotated[Path, typer.Argument(metavar="CONFIG", help="LiteLLM's config.yaml.")],
    *,
    keys_file: Annotated[
        Path | None,
        typer.Option("--keys", metavar="EXPORT", help="LiteLLM's keys as JSON: a table dump or /key/list's answer."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would become of it; write nothing.")] = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write.")] = Path(),
    organization: Annotated[
        str, typer.Option(metavar="SLUG", help="The organization of keys that name none.")
    ] = "litellm",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Translate LiteLLM's configuration and keys: writes headgate.yaml and apply.yaml, and lists what becomes of every
    option.
    """
    from headgate.cli import importing

    if not importing.is_slug(organization):
        raise typer.BadParameter("1 to 63 lower-case letters, digits and inner hyphens", param_hint="--organization")
    wanted = importing.Wanted(configuration, keys_file, out, organization, plan, force)
    importing.import_litellm(wanted, as_json=as_json)


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="A name for people.")],
    *,
    scope: Annotated[
        str, typer.Option(help="Where the key hangs: an id (`team_…`) or slugs from the organization down (`acme/ml`).")
    ],
    models: Annotated[str, typer.Option(help="Models it may send, separated by commas; globs are allowed.")] = "*",
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Let `*` grant the sandbox too.")] = False,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A tag; may be given several times.")
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="When it ends, RFC 3339.")] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="AMOUNT/PERIOD", help="USD it may spend, such as 20/day; may be given several times."),
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=0, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=0, help="Tokens a minute.")] = None,
    tph: Annotated[int | None, typer.Option(min=0, help="Tokens an hour.")] = None,
    tpd: Annotated[int | None, typer.Option(min=0, help="Tokens a day.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=0, help="Requests at once.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Make a virtual key, then its limits; its secret is shown once."""
    from headgate.cli import keyring
    from headgate.cli.client import connect
    from headgate.cli.limiting import parse_budget

    amounts = [taken("--budget", parse_budget, text) for text in budget or ()]
    rates = {"rpm": rpm, "tpm": tpm, "tph": tph, "tpd": tpd, "concurrency": concurrency}
    wanted = keyring.WantedKey(
        *(name, scope, models, tuple(tag or ()), expires, sandbox),
        budgets=tuple((each.amount_usd, each.period) for each in amounts),
        rate_limits=tuple((limit, count) for limit, count in rates.items() if count is not None),
    )
    keyring.create(connect(url, token, data_dir), wanted, as_json=as_json)


@keys.command("rotate")
def keys_rotate(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    *,
    grace: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old secret still works: 0s, 15m, 24h.")
    ] = "0s",
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret, shown once."""
    from headgate.cli import keyring
    from headgate.cli.client import connect

    keyring.rotate(connect(url, token, data_dir), key, grace, as_json=as_json)


@keys.command("revoke")
def keys_revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    *,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """End a key for good; it stops working within a second."""
    from headgate.cli import keyring
    from headgate.cli.client import connect

    keyring.revoke(connect(url, token, data_dir), key, as_json=as_json)


@keys.command("status")
def keys_status(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    *,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Show every budget and rate limit on a key's path: what is spent, held by requests that run, and free."""
    from headgate.cli import keyring
    from headgate.cli.client import connect

    keyring.status(connect(url, token, data_dir), key, as_json=as_json)


@keys.command("list")
def keys_list(
    *,
    scope: Annotated[str | None, typer.Option(help="Only keys on this scope: an id or slugs.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """List virtual keys."""
    from headgate.cli import keyring
    from headgate.cli.client import connect

    keyring.list_keys(connect(url, token, data_dir), scope, limit, as_json=as_json)


@app.command()
def usage(
    *,
    group_by: Annotated[
        str,
        typer.Option(help="organization, team, project, key, user, model, provider, operation, tag: any, with commas."),
    ] = "model",
    interval: Annotated[str | None, typer.Option(help="hour, day (the default), month or total.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339; the start of the report.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="RFC 3339; its end.")] = None,
    tz: Annotated[str | None, typer.Option(help="Time zone of the intervals, such as Europe/Berlin.")] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Count the sandbox's made-up answers too.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Report requests, tokens and cost."""
    from headgate.cli import reporting
    from headgate.cli.client import connect

    query = {"group_by": group_by, "interval": interval, "from": start, "to": end, "tz": tz}
    if sandbox:
        query["include_sandbox"] = "true"
    reporting.usage(connect(url, token, data_dir), query, as_json=as_json)


@requests.command("list")
def requests_list(
    *,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only this key's.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only those that ended so: ok, refused, recovered …")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """List requests, newest first."""
    from headgate.cli import reporting
    from headgate.cli.client import connect

    filters = {"key": key, "model": model, "outcome": outcome}
    reporting.list_requests(connect(url, token, data_dir), filters, limit, as_json=as_json)


@requests.command("show")
def requests_show(
    request: Annotated[str, typer.Argument(metavar="ID", help="The request's id.")],
    *,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Show everything that is known of one request."""
    from headgate.cli import reporting
    from headgate.cli.client import connect

    reporting.show_request(connect(url, token, data_dir), request, as_json=as_json)


@prices.command("update")
def prices_update(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table of prices that win over the catalogue.")],
    *,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Check a table of prices and put it into the data directory; a gateway reads it when it starts."""
    from headgate.cli import pricing

    pricing.update(file, Path(data_dir), as_json=as_json)
