#!/bin/sh
# Build the wheel of sipagent with its hot path compiled, in a bare Debian: what it takes stays behind in this stage.
# The Dockerfile runs it, and tests/container/run.sh runs it in a bare root without Docker. Usage: build.sh SOURCE WHEELS
set -eu

source="$1"
wheels="$2"
tools=/opt/tools

apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates gcc libc6-dev python3 python3-dev python3-venv

python3 -m venv "$tools"
"$tools/bin/pip" install --no-cache-dir --disable-pip-version-check --require-hashes -r "$source/requirements/compile.txt"
cd "$source"
HATCH_BUILD_HOOKS_ENABLE=1 "$tools/bin/python" -m hatchling build --target wheel --directory "$wheels"
