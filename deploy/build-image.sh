#!/usr/bin/env bash
# Makes what the image holds: an environment with Headgate and its locked dependencies, without pip, and nothing else.
# deploy/Dockerfile runs this as its one build step and `make test` runs it too, so that the recipe cannot rot.
#
#   deploy/build-image.sh PREFIX        PYTHON names another interpreter than python3
set -euo pipefail

prefix="${1:?usage: build-image.sh PREFIX}"
python="${PYTHON:-python3}"
source="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 1; }

# The build's own tools stay here: they are not part of what runs.
"$python" -m venv "$scratch/tools"
pip() { "$scratch/tools/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install --require-hashes -r "$source/requirements/build.txt"
pip wheel --no-deps --no-build-isolation --wheel-dir "$scratch" "$source"

rm -rf "$prefix"
"$python" -m venv --without-pip "$prefix"
pip --python "$prefix/bin/python" install --require-hashes -r "$source/requirements/base.txt"
pip --python "$prefix/bin/python" install --no-deps --no-index "$scratch"/headgate-*.whl
cp "$source/deploy/healthcheck.py" "$prefix/healthcheck.py"
"$prefix/bin/headgate" --version
