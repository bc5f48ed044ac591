#!/usr/bin/env bash
# Make .venv with the interpreter named, or with the first on PATH that is new enough.
set -euo pipefail
cd "$(dirname "$0")/.."

usable() { command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; }

find_python() {
    local candidate
    for candidate in "$1" python3.13 python3.12 python3.11 python3.14 python3; do
        if usable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "sipagent needs Python 3.11 or newer, and neither '$1' nor any other on PATH is: install one, or say PYTHON=/path/to/python" >&2
    return 1
}

# Debian and Ubuntu ship venv's pip apart from Python.
install_venv_package() {
    local package
    package="$("$1" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $package, which this Python lacks"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
    else
        echo "this Python can't make virtual environments; run: sudo apt-get install $package" >&2
        return 1
    fi
}

if [ -x .venv/bin/python ] && usable .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then
    exit 0
fi
python="$(find_python "$1")"
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_package "$python"
"$python" -m venv --clear .venv
echo "made .venv with $("$python" --version)"
