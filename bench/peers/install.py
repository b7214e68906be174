"""Installs the peers, each in an environment of its own under ``bench/.peers``, from the locks beside this file."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCKS = Path(__file__).resolve().parent
ENVIRONMENTS = LOCKS.parent / ".peers"
PORTKEY = "@portkey-ai/gateway"
NODE_SERVER = "@hono/node-server"

_NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
_STAMP = ".installed"
"""Holds the digest of the locks that an environment was made from; written last: half an installation is none."""
_WITHIN_S = 1800


class PeerError(RuntimeError):
    """A peer cannot be installed or started here; the message is the reason that the report gives."""


def pip_environment(name: str) -> Path:
    """Return the environment of ``name.txt``, made first if it is missing or older than its lock.

    pip compiles the bytecode as it installs: an interpreter that compiles on import would be measured doing so.
    """
    lock = LOCKS / f"{name}.txt"
    place = ENVIRONMENTS / name
    if _is_current(place, lock):
        return place
    _say(f"installing {name} {pip_version(name)}")
    _clear(place)
    _run([sys.executable, "-m", "venv", str(place)])
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _run([str(place / "bin" / "python"), "-m", "pip", "install", *quiet, "--require-hashes", "-r", str(lock)])
    _stamp(place, lock)
    return place


def npm_environment() -> Path:
    """Return the folder that holds Portkey's ``node_modules``, made first if it is missing or older than its lock.

    Scripts of packages do not run; Portkey's own would patch nothing, for it publishes no patches.
    """
    locks = [LOCKS / file for file in _NPM_FILES]
    place = ENVIRONMENTS / "portkey"
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise PeerError("node and npm are not installed (apt-get install -y nodejs npm)")
    if _is_current(place, *locks):
        return place
    _say(f"installing {PORTKEY} {npm_version(PORTKEY)}")
    _clear(place)
    place.mkdir(parents=True)
    for file in locks:
        shutil.copy(file, place)
    flags = ["--ignore-scripts", "--omit=dev", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
    _run(["npm", "ci", *flags], cwd=place)
    _stamp(place, *locks)
    return place


def pip_version(name: str) -> str:
    """Return the version that ``name.txt`` pins of the package of that name."""
    found = re.search(rf"^{re.escape(name)}==(\S+)", (LOCKS / f"{name}.txt").read_text("utf-8"), re.MULTILINE)
    assert found is not None, name
    return found[1]


def npm_version(package: str) -> str:
    """Return the version that the npm lock pins of ``package``."""
    lock = json.loads((LOCKS / "package-lock.json").read_text("utf-8"))
    return str(lock["packages"][f"node_modules/{package}"]["version"])


def lock_npm() -> None:
    """Resolve ``package.json`` again and take from the lock what only holds addresses."""
    _run(["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=LOCKS)
    lock = LOCKS / "package-lock.json"
    lock.write_text(json.dumps(without_addresses(json.loads(lock.read_text("utf-8"))), indent=2) + "\n", "utf-8")


def without_addresses(lock: dict[str, Any]) -> dict[str, Any]:
    """Return an npm lock without ``resolved``, ``funding`` and ``deprecated``: `npm ci` needs none of them."""
    packages: dict[str, dict[str, Any]] = lock["packages"]
    unneeded = {"resolved", "funding", "deprecated"}
    kept = {
        path: {key: value for key, value in package.items() if key not in unneeded}
        for path, package in packages.items()
    }
    return lock | {"packages": kept}


def _is_current(place: Path, *locks: Path) -> bool:
    stamp = place / _STAMP
    return stamp.exists() and stamp.read_text("utf-8") == _digest(place, *locks)


def _stamp(place: Path, *locks: Path) -> None:
    (place / _STAMP).write_text(_digest(place, *locks), "utf-8")


def _digest(place: Path, *locks: Path) -> str:
    # Interpreter and place are part of it: an environment of another one, or one that was moved, may not start.
    parts = [sys.version.encode(), str(place).encode(), *(lock.read_bytes() for lock in locks)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _clear(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, timeout=_WITHIN_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"cannot be installed here: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()
        raise PeerError(f"cannot be installed here: {lines[-1].strip()}")


def _say(what: str) -> None:
    print(f"{what} into bench/.peers (once; some minutes on a slow link)", file=sys.stderr, flush=True)
