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
log="$work/sipagent.log"
pid=""

clean_up() {
    local status=$?
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    for mount in dev/pts dev/shm dev proc sys; do
        mountpoint -q "$root/$mount" && umount -l "$root/$mount"
    done
    [ "$status" = 0 ] || { [ -f "$log" ] && tail -n 50 "$log" >&2; }
    rm -rf --one-file-system "$work"
    exit "$status"
}
trap clean_up EXIT

# The environment of the Dockerfile, and what pip is told on this machine.
in_root() {
    local settings=()
    while IFS= read -r name; do settings+=("$name=${!name}"); done < <(compgen -e | grep -E '^PIP_|_proxy$|_PROXY$' || true)
    chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
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
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp "$ca_bundle" "$root/tmp/ca-certificates.crt"

echo "installing, as the Dockerfile does"
install -d "$root/tmp/source"
for each in CHANGELOG.md LICENSE README.md config.yaml docker examples pyproject.toml requirements sipagent; do
    cp -a "$source/$each" "$root/tmp/source/"
done
in_root /tmp/source/docker/install.sh /tmp/source >"$work/install.log" 2>&1 || { tail -n 50 "$work/install.log" >&2; exit 1; }
rm -rf "$root/tmp/source"

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

kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=""
[ "$status" = 0 ] || { echo "FAILED: SIGTERM ended it with status $status" >&2; exit 1; }
echo "ok: SIGTERM ended it in peace"
