"""Install the peers without measuring them: ``python -m bench.peers``; ``--lock`` resolves Portkey's npm lock again."""

import argparse
import sys

from bench.peers.gateways import PEERS
from bench.peers.install import PeerError, lock_npm


def main() -> int:
    """Install all that can be; a peer that cannot is named and is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve package.json into package-lock.json again")
    if parser.parse_args().lock:
        lock_npm()
        return 0
    status = 0
    for peer in PEERS:
        try:
            peer.install()
        except PeerError as error:
            print(f"{peer.title}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
