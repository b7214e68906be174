"""A long conversation of a coding agent, as data: what it is told, which tools it calls, when its user interrupts it.

The text is made by plain functions, so that the same bytes come out everywhere. It is made up: a repository that
steers the gates of a canal. The model's part is played by the fakes, which call the tools that ``next=`` names.
"""

from typing import Any, NamedTuple

FILES = 64
WORDS_PER_FILE = 1_750
"""Together more than 100,000 words, each at least a token."""

_SUBJECTS = ("gate", "canal", "sluice", "ledger", "gauge", "weir", "reservoir", "channel", "meter", "keeper", "field")
_VERBS = ("opens", "measures", "records", "releases", "guards", "balances", "reports", "drains", "admits", "settles")
_OBJECTS = ("water", "pressure", "inflow", "outflow", "shares", "levels", "rights", "seepage", "demand", "storage")
_MANNERS = ("slowly", "hourly", "twice", "upstream", "downstream", "fairly", "again", "first", "never", "at night")

SYSTEM = (
    "You work in the repository of a canal company. Read before you change anything. Change one thing at a time and "
    "run the tests after each change. Say what you did in one sentence. Never touch the gates of other companies."
)
HOUSE_RULES = " ".join(
    f"Rule {number}: the {_SUBJECTS[number % 11]} {_VERBS[number * 3 % 10]} {_OBJECTS[number * 7 % 10]} before the "
    f"{_SUBJECTS[(number + 4) % 11]} {_VERBS[(number + 1) * 3 % 10]} {_OBJECTS[(number + 2) * 7 % 10]}."
    for number in range(1, 121)
)
INTERRUPTED = "I stopped your last answer. Go on where you were."


class Tool(NamedTuple):
    """A tool of the agent's."""

    name: str
    description: str
    schema: dict[str, Any]


def _tool(name: str, description: str, **fields: str) -> Tool:
    properties = {field: {"type": "string", "description": words} for field, words in fields.items()}
    return Tool(name, description, {"type": "object", "properties": properties, "required": list(fields)})


TOOLS = (
    _tool("list_files", "List the files below a folder.", folder="Where to look."),
    _tool("read_file", "Read a file.", path="Which file."),
    _tool("search", "Find a pattern in files.", pattern="A regular expression.", folder="Where to look."),
    _tool("edit_file", "Replace a passage.", path="Which file.", old="What stands there.", new="What shall stand."),
    _tool("run_tests", "Run the tests.", selection="Which ones; empty for all."),
)


class Turn(NamedTuple):
    """One answer of the model: the tools it calls, none at the end."""

    calls: tuple[str, ...]
    interrupted_after: int | None = None
    """The user stops the first try after this many events of the stream."""


TURNS = (
    Turn(("list_files",)),
    Turn(("search", "search")),
    Turn(("read_file", "read_file", "read_file")),
    Turn(("edit_file",), interrupted_after=3),
    Turn(("run_tests",)),
    Turn(("read_file",)),
    Turn(("search", "read_file")),
    Turn(("edit_file", "edit_file")),
    Turn(("run_tests",), interrupted_after=3),
    Turn(("read_file", "search", "list_files")),
    Turn(("edit_file",)),
    Turn(("run_tests",)),
    Turn((), interrupted_after=3),
)


def next_calls(index: int) -> str:
    """What makes a fake call the tools of a turn."""
    return f"next={','.join(TURNS[index].calls) or 'none'}"


def task() -> str:
    """What the user wants, before the repository."""
    return "Gate 17 reports its level twice an hour; it should report it once. Find out why and mend it."


def repository() -> str:
    """The files that the agent has been given."""
    return "\n\n".join(f"=== canal/part_{number:02}.txt ===\n{_file(number)}" for number in range(FILES))


def result(turn: int, place: int, name: str) -> str:
    """What a tool says; long for files, short for the rest."""
    if name == "read_file":
        return _file(turn * 5 + place)
    if name == "run_tests":
        return f"{40 + turn} passed, {max(0, 3 - turn // 4)} failed in {turn + 1}.{place}s"
    return "\n".join(f"canal/part_{number:02}.txt: line {number * 3 + turn}" for number in range(10 + turn))


def _file(number: int) -> str:
    sentences = []
    for line in range(WORDS_PER_FILE // 7):
        step = number * 31 + line
        sentences.append(
            f"{line}: the {_SUBJECTS[step % 11]} {_VERBS[step * 3 % 10]} {_OBJECTS[step * 7 % 10]} "
            f"{_MANNERS[step * 9 % 10].partition(' ')[0]} {step * 17 % 997}."
        )
    return "\n".join(sentences)
