"""``make compile``: sipagent with its hot path as machine code, in ``build/compiled``, for the Python that runs this.

It is made as a wheel is, by ``scripts/mypyc_hook.py``, and only when what it is made of has changed. Without a C
compiler or Python's headers there is nothing in ``build/compiled``, and sipagent runs as the source that it is. With
``--forget`` nothing is made, but what is no longer what the sources say is thrown away: then what is there can be run.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from hashlib import blake2b
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "build" / "compiled"
DIGEST = "made-of"
"""The file in it that says what it was made of."""

MADE_BY = ("pyproject.toml", "requirements/compile.txt", "scripts/compile.py", "scripts/mypyc_hook.py")

WITHOUT = "sipagent runs interpreted, and takes 1.4 times the processor time"


def find_obstacle() -> str | None:
    """Return why nothing can be compiled here, or None if it can."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    headers = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    command = [*compiler, *headers, "-x", "c", "-fsyntax-only", "-"]
    try:
        ran = subprocess.run(command, input=b"#include <Python.h>\n", capture_output=True, check=False)
    except OSError:
        return f"there is no C compiler ({compiler[0]})"
    return f"{compiler[0]} finds no Python.h (Debian: python3-dev)" if ran.returncode else None


def digest_sources() -> str:
    """Return what the result hangs on: this Python and the text of everything that goes in."""
    digest = blake2b(f"{sys.version} {sys.platform}".encode(), digest_size=16)
    for path in (*map(ROOT.joinpath, MADE_BY), *sorted((ROOT / "sipagent").rglob("*.py"))):
        digest.update(b"\0".join((str(path.relative_to(ROOT)).encode(), path.read_bytes(), b"")))
    return digest.hexdigest()


def build_wheel(folder: Path) -> Path:
    """Build the wheel into a folder that is emptied before.

    :raises subprocess.CalledProcessError: with what mypyc and the compiler said.
    """
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        env={**os.environ, "HATCH_BUILD_HOOKS_ENABLE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def unpack(wheel: Path, digest: str) -> None:
    """Put a wheel in the result's place; a program that runs from there keeps what it has loaded."""
    fresh = RESULT.with_name("compiled.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(fresh)
    (fresh / DIGEST).write_text(digest)
    shutil.rmtree(RESULT, ignore_errors=True)
    fresh.rename(RESULT)


def forget_stale() -> None:
    """Throw away what was made of other sources, or by another Python."""
    stamp = RESULT / DIGEST
    if not stamp.is_file() or stamp.read_text() != digest_sources():
        shutil.rmtree(RESULT, ignore_errors=True)


def main() -> int:
    """Do it where it can be done, and return the exit status."""
    if "--forget" in sys.argv[1:]:
        forget_stale()
        return 0
    obstacle = find_obstacle()
    if obstacle:
        shutil.rmtree(RESULT, ignore_errors=True)  # it would be run
        print(f"{obstacle}: {WITHOUT}")
        return 0
    digest, stamp = digest_sources(), RESULT / DIGEST
    if stamp.is_file() and stamp.read_text() == digest:
        return 0
    print("compiling the hot path: some minutes, less when little has changed", flush=True)
    began_at = monotonic()
    try:
        unpack(build_wheel(ROOT / "build" / "wheel"), digest)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(RESULT, ignore_errors=True)
        print(error.stdout, file=sys.stderr)
        print("it can't be compiled as it is; COMPILED=no on make's command line runs the source", file=sys.stderr)
        return error.returncode
    print(f"compiled in {monotonic() - began_at:.0f} s: {RESULT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
