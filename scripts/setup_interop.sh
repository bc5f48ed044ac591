#!/usr/bin/env bash
# Install who `make interop` talks to: Kamailio, baresip, linphone, Chromium and scanners by apt, PJSIP and pyVoIP in
# .venv-interop.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A packages=(
    [kamailio]="kamailio kamailio-tls-modules kamailio-websocket-modules" [baresip]=baresip-core [sipsak]=sipsak
    [svmap]=sipvicious [linphone-daemon]=linphone-cli [flite]=flite
    [chromium]=chromium
)
optional=" linphone-cli sipvicious chromium " # not in every release of Debian and Ubuntu

missing=()
PATH="$PATH:/usr/sbin"
for program in "${!packages[@]}"; do
    # shellcheck disable=SC2206
    command -v "$program" >/dev/null || missing+=(${packages[$program]})
done

give_up() {
    echo "make interop can't be set up: $1" >&2
    exit 1
}

install_packages() {
    local as_root=() wanted=() welcome=() package
    command -v apt-get >/dev/null || give_up "no apt-get on this system; install ${missing[*]} by hand"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || give_up "not root, and no sudo; run: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq || give_up "apt-get update failed, see above"
    for package in "${missing[@]}"; do
        if [[ "$optional" != *" $package "* ]]; then
            wanted+=("$package")
        elif [ -n "$(apt-cache search --names-only "^$package\$")" ]; then
            welcome+=("$package")
        else
            echo "$package is not in this release; going on without" >&2
        fi
    done
    [ ${#wanted[@]} -eq 0 ] || add "${wanted[@]}" || give_up "apt-get install failed, see above"
    for package in "${welcome[@]}"; do
        add "$package" || echo "$package can't be installed, see above; its tests are skipped" >&2
    done
}

# RUNLEVEL=1: the packages' own services are not started; the tests start what they need, on ports of their own.
add() {
    echo "installing $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends \
        "$@" >/dev/null
}

usable() { command -v "$1" >/dev/null && "$1" -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.12 python3.11 python3.10 python3; do
        if usable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_environment() {
    local python pip=(.venv-interop/bin/python -m pip --disable-pip-version-check --no-input)
    if ! usable .venv-interop/bin/python; then
        python="$(find_python)" ||
            give_up "PJSIP's and pyVoIP's packages need Python 3.10 to 3.12 with venv, and none is on PATH"
        "$python" -m venv --clear .venv-interop
    fi
    echo "installing requirements/interop.txt"
    "${pip[@]}" install -qq --require-hashes --only-binary pjsua2-python -r requirements/interop.txt ||
        give_up "pip failed, see above (pjsua2-python has wheels for x86-64 and ARM Linux only)"
}

[ ${#missing[@]} -eq 0 ] || install_packages
if [ requirements/interop.txt -nt .venv-interop/.stamp ]; then
    make_environment
    touch .venv-interop/.stamp
fi
