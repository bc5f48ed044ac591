#!/bin/sh
# Install sipagent into a bare Debian: packages, a user, a virtual environment with the locked dependencies,
# and the wheel that build.sh made. The Dockerfile runs it, and tests/container/run.sh does in a bare root without Docker.
# Usage: install.sh SOURCE WHEELS
set -eu

source="$1"
wheels="$2"
home=/opt/sipagent

apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 python3-venv tini
rm -rf /var/lib/apt/lists/*

useradd --system --no-create-home --home-dir /var/lib/sipagent --shell /usr/sbin/nologin sipagent
install -d -o sipagent -g sipagent /var/lib/sipagent

# Whoever can write to the program can change it: it belongs to root, and the service runs as somebody else.
python3 -m venv "$home"
"$home/bin/pip" install --no-cache-dir --disable-pip-version-check --require-hashes -r "$source/requirements/run.txt"
"$home/bin/pip" install --no-cache-dir --disable-pip-version-check --no-deps "$wheels"/*.whl

install -d /etc/sipagent/examples
install -m 644 "$source/config.yaml" /etc/sipagent/config.yaml
install -m 644 "$source"/examples/*.py /etc/sipagent/examples/
install -m 755 "$source/docker/health.py" "$home/bin/sipagent-health"
ln -sf "$home/bin/sipagent" /usr/local/bin/sipagent
