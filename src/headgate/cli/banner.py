"""What a start says to the person who started it: where the gateway answers, and a line that works as it stands."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from headgate.cli.client import DEFAULT_URL

if TYPE_CHECKING:
    from headgate.app import Running
    from headgate.settings.load import Loaded


class Greeting(Struct, frozen=True):
    """What the banner is made of."""

    url: str
    admin_url: str
    admin_token_source: str
    secret: str | None
    """A virtual key's secret, only where this start made it; ``None`` shows a placeholder."""
    providers_on: tuple[str, ...]
    providers_off: tuple[str, ...]
    scope: str
    """A scope that exists, on which a key can be made."""
    command: str
    """How this program is called where it was started."""
    vendors_by_environment: bool = False
    """Whether a vendor's variable would switch it on: only where there is no configuration file."""


def greeting_of(running: "Running", loaded: "Loaded") -> Greeting:
    """Take what the banner needs from a running gateway."""
    from headgate.settings.load import DEFAULTS

    first, organizations = running.first_key, loaded.settings.organizations
    return Greeting(
        url=running.url,
        admin_url=running.admin_url,
        admin_token_source=running.admin_token_source,
        secret=None if first is None else first.secret,
        providers_on=running.providers_on,
        providers_off=running.providers_off,
        scope=organizations[0].slug if organizations else "default/default",
        command=_command(),
        vendors_by_environment=loaded.source == DEFAULTS,
    )


def banner(greeting: Greeting) -> str:
    """Return the banner's text."""
    key = greeting.secret or "$HEADGATE_API_KEY"
    model = "sandbox/echo" if "sandbox" in greeting.providers_on else "MODEL"
    lines = [""]
    lines.append(f"  providers on   {', '.join(greeting.providers_on) or 'none'}")
    if greeting.vendors_by_environment and greeting.providers_on == ("sandbox",):
        lines.append("                 (OPENAI_API_KEY, ANTHROPIC_API_KEY … in the environment switch vendors on)")
    lines += [f"  provider off   {reason}" for reason in greeting.providers_off]
    lines.append(f"  admin API      {greeting.admin_url}/admin/v1/docs  (admin token: {greeting.admin_token_source})")
    if greeting.secret is not None:
        words = "This first start made an organization, a team and a virtual key of 5 USD a day. It is shown only now:"
        lines += ["", words]
        lines += ["", f"  {greeting.secret}"]
    else:
        lines += ["", "Keys are shown only when they are made. No key at hand? Make one:", ""]
        where = "" if greeting.admin_url == DEFAULT_URL else f" --url {greeting.admin_url}"
        lines.append(f"  {greeting.command} keys create NAME --scope {greeting.scope} --sandbox{where}")
    lines += ["", "Try it:", ""]
    lines.append(
        f'  curl -s {greeting.url}/v1/chat/completions -H "Authorization: Bearer {key}" '
        f"""-H "Content-Type: application/json" -d '{{"model": "{model}", """
        f""""messages": [{{"role": "user", "content": "Hello, Headgate"}}]}}'"""
    )
    lines += ["", "Or point OpenAI's SDKs at it:", ""]
    lines += [f"  export OPENAI_BASE_URL={greeting.url}/v1", f'  export OPENAI_API_KEY="{key}"', ""]
    lines += ["Or Anthropic's, and Claude Code:", ""]
    lines += [f"  export ANTHROPIC_BASE_URL={greeting.url}", f'  export ANTHROPIC_AUTH_TOKEN="{key}"', ""]
    return "\n".join(lines)


def _command() -> str:
    """Return what starts this program from the shell that started it: ``.venv/bin/headgate`` after ``make run``."""
    called = sys.argv[0]
    return called if Path(called).name == "headgate" and shutil.which("headgate") is None else "headgate"
