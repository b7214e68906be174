"""Client libraries at work: each script runs in the environment of its library and tells what it saw."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.gateway import ROOT

FOLDER = Path(__file__).parent
NODE = FOLDER / "node"


def python_of(sdk: str) -> Path:
    """The interpreter of a client library's environment."""
    python = ROOT / f".venv-sdk-{sdk}" / "bin" / "python"
    assert python.exists(), f"make test creates .venv-sdk-{sdk} from requirements/sdk-{sdk}.txt"
    return python


def run_python(sdk: str, script: str, home: Path, **environment: str) -> Any:
    """Run a script of this folder in the environment of a library."""
    return _run([str(python_of(sdk)), str(FOLDER / script)], home, environment)


def run_node(script: str, home: Path, **environment: str) -> Any:
    """Run a script of the node folder."""
    node = shutil.which("node")
    assert node is not None, "make test installs node where it is missing"
    assert (NODE / "node_modules" / "openai").exists(), "make test fills tests/sdk/node/node_modules"
    return _run([node, str(NODE / script)], home, environment)


def _run(command: list[str], home: Path, environment: dict[str, str]) -> Any:
    # Without proxies, credentials or settings of whoever runs the tests.
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONUTF8": "1", "NO_PROXY": "*", **environment}
    done = subprocess.run(command, env=clean, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
