#!/usr/bin/env bash
# Run the steps of the Dockerfile in a bare Debian root, where no Docker engine is at hand: install, start as the
# service's user under tini, ask for /health and /ready, end with SIGTERM. Needs root and debootstrap.
#
# MIRROR      the Debian mirror (default: debootstrap's own)
# CA_BUNDLE   certificates to trust while installing (default: this machine's, which may know a proxy's)
# BASE        a folder to keep the bare root in, so that the next run need not make it anew
set -euo pipefail

release=bookworm
source="$(cd "$(dirname "$0")/../.." && pwd)"
ca_bundle="${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}"

[ "$(id -u)" = 0 ] || { echo "this needs root, for chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }

work="$(mktemp -d)"
root="$work/root"
builder="$work/builder"
log="$work/sipagent.log"
pid=""

clean_up() {
    local status=$?
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    for mount in dev/pts dev/shm dev proc sys; do
        for each in "$root" "$builder"; do
            mountpoint -q "$each/$mount" && umount -l "$each/$mount"
        done
    done
    [ "$status" = 0 ] || { [ -f "$log" ] && tail -n 50 "$log" >&2; }
    rm -rf --one-file-system "$work"
    exit "$status"
}
trap clean_up EXIT

# What a container has of its host, and the sources, as .dockerignore lets them through.
furnish() {
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/dev"
    mkdir "$1/dev/pts" "$1/dev/shm"
    mount -t devpts devpts "$1/dev/pts"
    mount -t tmpfs tmpfs "$1/dev/shm"
    mknod -m 666 "$1/dev/null" c 1 3
    mknod -m 666 "$1/dev/zero" c 1 5
    mknod -m 666 "$1/dev/random" c 1 8
    mknod -m 666 "$1/dev/urandom" c 1 9
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    cp "$ca_bundle" "$1/tmp/ca-certificates.crt"
    install -d "$1/tmp/source"
    for each in CHANGELOG.md LICENSE README.md config.yaml docker examples pyproject.toml requirements scripts sipagent; do
        cp -a "$source/$each" "$1/tmp/source/"
    done
}

# The environment of the Dockerfile, and what pip is told on this machine; where is $place.
place="$root"
in_root() {
    local settings=()
    while IFS= read -r name; do settings+=("$name=${!name}"); done < <(compgen -e | grep -E '^PIP_|_proxy$|_PROXY$' || true)
    chroot "$place" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SIPAGENT_RECORDINGS=/var/lib/sipagent/recordings \
        "${settings[@]}" PIP_CERT=/tmp/ca-certificates.crt "$@"
}

wait_for() {
    local what="$1" deadline=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { echo "FAILED: $what" >&2; exit 1; }
        kill -0 "$pid" 2>/dev/null || { echo "FAILED: sipagent ended before it was there" >&2; exit 1; }
        sleep 0.2
    done
    echo "ok: $what"
}

echo "making a bare $release root"
if [ -n "${BASE:-}" ] && [ -d "$BASE/usr" ]; then
    cp -a "$BASE" "$root"
else
    debootstrap --variant=minbase --include=ca-certificates "$release" "$root" ${MIRROR:+"$MIRROR"} >"$work/debootstrap.log"
    [ -z "${BASE:-}" ] || cp -a "$root" "$BASE"
fi
cp -a "$root" "$builder"
furnish "$builder"
furnish "$root"

# Runs a step of the Dockerfile, and shows what it said if it fails.
step() {
    in_root "$@" >"$work/step.log" 2>&1 || { tail -n 50 "$work/step.log" >&2; exit 1; }
}

echo "building, as the Dockerfile does"
place="$builder"
step /tmp/source/docker/build.sh /tmp/source /tmp/wheels
place="$root"
cp -a "$builder/tmp/wheels" "$root/tmp/wheels"

echo "installing, as the Dockerfile does"
step /tmp/source/docker/install.sh /tmp/source /tmp/wheels
rm -rf "$root/tmp/source" "$root/tmp/wheels" "$builder/tmp/source"

echo "starting, as the Dockerfile does"
user="$(in_root id -u sipagent):$(in_root id -g sipagent)"
settings="${SIPAGENT_CONFIG:-/etc/sipagent/config.yaml}"
chroot --userspec="$user" "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/var/lib/sipagent \
    SIPAGENT_RECORDINGS=/var/lib/sipagent/recordings /usr/bin/tini -s -- sipagent run "$settings" >"$log" 2>&1 &
pid=$!

wait_for "/health says that it is alive" in_root /opt/sipagent/bin/sipagent-health
wait_for "/ready says that it takes calls" in_root env SIPAGENT_HEALTH_URL=http://127.0.0.1:8080/ready /opt/sipagent/bin/sipagent-health
[ "$(stat -c %u "/proc/$(pgrep -P "$pid" | head -n 1)")" = "${user%:*}" ] || { echo "FAILED: it does not run as its user" >&2; exit 1; }
echo "ok: it runs as its own user"
grep -q '"compiled": *true' "$log" || { echo "FAILED: its hot path is not compiled" >&2; exit 1; }
echo "ok: its hot path is compiled"

kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=""
[ "$status" = 0 ] || { echo "FAILED: SIGTERM ended it with status $status" >&2; exit 1; }
echo "ok: SIGTERM ended it in peace"
