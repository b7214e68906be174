"""Take out of an npm lock file what names hosts: sponsors, notices of deprecation, and where a package was found.

``python strip_lock.py package-lock.json``. What remains, version and hash, is what ``npm ci`` installs by.
"""

import json
import sys
from pathlib import Path


def main(path: Path) -> None:
    """Write the file again without these members."""
    lock = json.loads(path.read_text("utf-8"))
    for package in lock["packages"].values():
        for name in ("funding", "deprecated", "resolved"):
            package.pop(name, None)
    path.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
