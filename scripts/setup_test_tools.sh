#!/usr/bin/env bash
# Install what some tests need: SIPp, baresip, flite, recorded speech and music. With "optional", to lack them is no error.
set -euo pipefail

declare -A packages=([sipp]=sip-tester [baresip]=baresip-core [flite]=flite)

missing=()
for program in "${!packages[@]}"; do
    command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
[ -f /usr/share/asterisk/sounds/en_US_f_Allison/vm-isonphone.wav ] || missing+=(asterisk-core-sounds-en-wav)
[ -f /usr/share/asterisk/moh/reno_project-system.wav ] || missing+=(asterisk-moh-opsound-wav)
[ ${#missing[@]} -eq 0 ] && exit 0

give_up() {
    echo "missing for the tests: ${missing[*]} ($1)" >&2
    if [ "$mode" = optional ]; then
        echo "going on without; the tests that need them will be skipped" >&2
        exit 0
    fi
    echo "install them by hand, or go on without: make test TOOLS=optional" >&2
    exit 1
}

mode="${1:-required}"
as_root=()
command -v apt-get >/dev/null || give_up "no apt-get on this system"
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || give_up "not root, and no sudo: apt-get install ${missing[*]}"
    as_root=(sudo)
fi
echo "installing ${missing[*]}"
{ "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        >/dev/null; } || give_up "apt-get failed, see above"
