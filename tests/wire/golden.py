"""The golden folder: what came over a wire beside what the hub makes of it.

``HEADGATE_UPDATE_GOLDEN=1`` writes the expected files anew; read the difference before you keep it.
"""

import os
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1] / "golden"


def cases_with(name: str, form: str = "openai_chat") -> list[str]:
    return sorted(path.parent.name for path in (ROOT / form).glob(f"*/{name}"))


def given(case: str, name: str, form: str = "openai_chat") -> bytes:
    return (ROOT / form / case / name).read_bytes()


def check_golden(case: str, name: str, value: object, form: str = "openai_chat") -> None:
    """Compare what the hub made of a file with what was written down for it."""
    path = ROOT / form / case / name
    made = msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
    if os.environ.get("HEADGATE_UPDATE_GOLDEN"):
        path.write_text(made, "utf-8")
    assert made == path.read_text("utf-8")


def without_nulls(value: object) -> object:
    """Return JSON as OpenAI's clients read it: a null member is an absent one."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
