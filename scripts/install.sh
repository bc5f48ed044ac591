#!/usr/bin/env bash
# Install one locked list of requirements into .venv, every file checked by its hash, then sipagent itself, in place.
set -euo pipefail
cd "$(dirname "$0")/.."

pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input)
echo "installing $1"
"${pip[@]}" install -qq --require-hashes --prefer-binary -r "$1"
"${pip[@]}" install -qq --no-deps --no-build-isolation -e .
