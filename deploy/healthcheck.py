"""Whether the gateway in this container answers: exit code 0 or 1. `deploy/Dockerfile` names it as its health check.

It asks where ``HEADGATE_LISTEN`` says, or ``HEADGATE_HEALTH_URL`` where the configuration file says otherwise.
"""

import os
import ssl
import sys
import urllib.request


def main() -> int:
    """Ask once."""
    port = os.environ.get("HEADGATE_LISTEN", "127.0.0.1:4100").rpartition(":")[2]
    url = os.environ.get("HEADGATE_HEALTH_URL", f"http://127.0.0.1:{port}/healthz")
    # Its own certificate names the outside, not this loopback; no secret is sent.
    context = ssl._create_unverified_context() if url.startswith("https://") else None  # noqa: S323  as said
    # Proxies of the environment are for providers.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
    )
    try:
        with opener.open(url, timeout=4) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
