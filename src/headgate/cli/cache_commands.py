"""The commands of the response cache; the work is done in `headgate.cli.caching`."""

from typing import Annotated

import typer

from headgate.cli.options import DEFAULT_URL, AsJson, DataDir, Token, Url

cache = typer.Typer(
    help="The response cache: answers that are given again.", no_args_is_help=True, rich_markup_mode=None
)


@cache.command("stats")
def cache_stats(
    *,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339; without it, 24 hours before the end.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="RFC 3339; without it, now.")] = None,
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="ORG", help="Only this organization's: an id or a slug.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Show how many requests were answered from the cache, what that saved, and why others were not."""
    from headgate.cli import caching
    from headgate.cli.client import connect

    caching.stats(connect(url, token, data_dir), start, end, organization, as_json=as_json)


@cache.command("purge")
def cache_purge(
    *,
    organization: Annotated[str, typer.Option("--organization", metavar="ORG", help="Whose answers: an id or a slug.")],
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="SCOPE", help="Only what was asked below it: an id or slugs.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="ID", help="Only what was asked under this key.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only this model's.")] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="NAME=VALUE", help="Only what was asked with this tag.")
    ] = None,
    entry: Annotated[
        str | None, typer.Option("--entry", metavar="ID", help="Only this answer: `cache.entry` of a request.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first; where nobody can be asked, nobody is.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    data_dir: DataDir = "data",
    as_json: AsJson = False,
) -> None:
    """Forget the answers that an organization keeps, or a part of them; none of them is given any more."""
    from headgate.cli import caching
    from headgate.cli.client import connect

    parts = {"scope": scope, "key": key, "model": model, "tag": tag, "entry": entry}
    given = {name: value for name, value in parts.items() if value is not None}
    if len(given) > 1:
        raise typer.BadParameter("name one part, or none for all of them", param_hint=f"--{list(given)[1]}")
    client = connect(url, token, data_dir)
    caching.purge(client, organization, given, dry_run=dry_run, ask=not yes, as_json=as_json)
