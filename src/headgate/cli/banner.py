"""What a start says to the person who started it: where the gateway answers, and a line that works as it stands."""

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from headgate.app import Running


class Greeting(Struct, frozen=True):
    """What the banner is made of."""

    url: str
    admin_url: str
    admin_token_source: str
    secret: str | None
    """A virtual key's secret, only where this start made it; ``None`` shows a placeholder."""
    providers_on: tuple[str, ...]
    providers_off: tuple[str, ...]


def greeting_of(running: "Running") -> Greeting:
    """Take what the banner needs from a running gateway."""
    first = running.first_key
    return Greeting(
        url=running.url,
        admin_url=running.admin_url,
        admin_token_source=running.admin_token_source,
        secret=None if first is None else first.secret,
        providers_on=running.providers_on,
        providers_off=running.providers_off,
    )


def banner(greeting: Greeting) -> str:
    """Return the banner's text."""
    key = greeting.secret or "$HEADGATE_API_KEY"
    model = "sandbox/echo" if "sandbox" in greeting.providers_on else "MODEL"
    lines = ["", f"Headgate answers at {greeting.url}", ""]
    lines.append(f"  providers on   {', '.join(greeting.providers_on) or 'none'}")
    lines += [f"  provider off   {reason}" for reason in greeting.providers_off]
    lines.append(f"  admin API      {greeting.admin_url}/admin/v1/docs  (admin token: {greeting.admin_token_source})")
    if greeting.secret is not None:
        lines += ["", "This first start made an organization, a team and a virtual key. It is shown only now:"]
        lines += ["", f"  {greeting.secret}"]
    lines += ["", "Try it:", ""]
    lines.append(
        f'  curl -s {greeting.url}/v1/chat/completions -H "Authorization: Bearer {key}" '
        f"""-H "Content-Type: application/json" -d '{{"model": "{model}", """
        f""""messages": [{{"role": "user", "content": "Hello, Headgate"}}]}}'"""
    )
    lines += ["", "Or point OpenAI's SDKs at it:", ""]
    lines += [f"  export OPENAI_BASE_URL={greeting.url}/v1", f'  export OPENAI_API_KEY="{key}"', ""]
    return "\n".join(lines)
