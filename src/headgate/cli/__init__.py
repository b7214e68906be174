"""The command line: ``headgate serve`` and friends. What a command needs is imported when that command runs."""

import sys


def main() -> None:
    """Run the command that ``sys.argv`` names and exit: 0 fine, 1 failed, 2 wrong usage."""
    from headgate.cli.commands import app
    from headgate.cli.failure import CommandError

    try:
        app(prog_name="headgate")
    except CommandError as error:
        print(f"headgate: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output left (`headgate requests | head`); nothing is wrong and nobody listens.
        sys.stderr.close()
        sys.exit(1)
