"""The one way a command fails: words for the operator, exit code 1."""


class CommandError(Exception):
    """The command could not do what was asked; the text says why and, where known, what to do."""
