#!/usr/bin/env bash
# Lock pyproject.toml into requirements/*.txt: one list for every platform and Python 3.11 to 3.14, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH="$PWD/.venv/bin:$PATH"
command -v uv >/dev/null || { echo "uv is missing: pip install uv" >&2; exit 1; }

lock() {
    local output="$1"
    shift
    uv pip compile pyproject.toml requirements/build.in "$@" --quiet --universal --python-version 3.11 \
        --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --output-file "$output" >/dev/null
    echo "wrote $output"
}

run=(--extra local --extra vad --extra mcp --extra plot --extra srtp --extra g722 --extra opus --extra webrtc)
lock requirements/run.txt "${run[@]}" "$@"
lock requirements/test.txt "${run[@]}" --extra test --extra lint --constraint requirements/run.txt "$@"
lock requirements/quality.txt "${run[@]}" --extra test --extra quality --constraint requirements/test.txt "$@"
lock requirements/fuzz.txt --extra fuzz --constraint requirements/test.txt "$@"
lock requirements/compile.txt --extra compile --constraint requirements/test.txt "$@"

# Other people's telephones, which are none of our dependencies; see the list itself.
uv pip compile requirements/interop.in --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --output-file requirements/interop.txt >/dev/null
echo "wrote requirements/interop.txt"
