"""Coverage-guided fuzzing: ``python tests/fuzz/run.py [--seconds N] [TARGET …]``, all of :data:`fuzz.targets.TARGETS`
without a name.

What a target has been led to is kept in ``build/fuzz/NAME``, and gone on from the next time; an input that it does not
survive is kept in ``build/fuzz`` as ``NAME-crash-…``, ``-timeout-…`` or ``-oom-…``. The figures are in
``build/fuzz.json``. The exit status is 1 if there was a bug.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # for who starts this by hand

from fuzz.targets import CORPORA, TARGETS

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
FOLDER = BUILD / "fuzz"

INPUT_MAX = 16_384
"""Octets of an input: every limit of the parser's that is below a head's can be passed by it."""

INPUT_S = 2
"""An input that takes longer is a bug; on a quiet machine none takes a tenth of a second."""

MEMORY_MB = 1024

WORDS = (
    *("\r\n", "\r\n ", "\r\n\r\n", "\0", "\xff", '"', "\n%%\nd", "\n%%\nt", "\n%%\na", "\n%%\nh", "z9hG4bK"),
    *(";branch=", ";rport", ";tag=", ";lr", "%00", "4294967296", "-1", "Require: 100rel", "RSeq: 1", "Refer-To: "),
    *("Session-Expires: 90;refresher=uas", "Content-Encoding: ", "multipart/mixed;boundary=", "Digest realm="),
    *("Replaces: ", 'qop="auth"', "m=audio 0 RTP/AVP 0", "a=rtpmap:", "a=sendonly", "c=IN IP4 0.0.0.0", "a=rtcp:"),
)
"""What a fuzzer would not come upon by itself; the shared dictionary goes before it."""

FIGURES = {"runs": r"stat::number_of_executed_units:\s+(\d+)", "coverage": r"cov: (\d+)", "features": r"ft: (\d+)"}
"""In what it prints; the last one counts."""


class Outcome(NamedTuple):
    """What came of a target."""

    name: str
    figures: dict[str, int]
    crashers: list[str]
    status: int
    output: str


def write_dictionary() -> Path:
    """Write the words down as libFuzzer reads them."""
    shared = CORPORA / "fuzz_seeds" / "fuzz_core_funcs.dict"
    path = FOLDER / "dictionary"
    lines = [f'"{escape(word)}"' for word in WORDS]
    path.write_text((shared.read_text("utf-8") if shared.is_file() else "") + "\n".join(lines) + "\n")
    return path


def escape(word: str) -> str:
    """Spell a word of octets as libFuzzer does."""
    plain = "".join(chr(octet) for octet in range(0x20, 0x7F) if chr(octet) not in '"\\')
    return "".join(char if char in plain else f"\\x{ord(char):02X}" for char in word)


def write_seeds(name: str) -> Path:
    """Write down what a target begins with."""
    folder = FOLDER / f"{name}-seeds"
    folder.mkdir(exist_ok=True)
    for seed in TARGETS[name].seeds():
        (folder / sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    return folder


def fuzz(name: str, seconds: int, dictionary: Path) -> Outcome:
    """Fuzz one target."""
    corpus = FOLDER / name
    corpus.mkdir(exist_ok=True)
    options = {
        "max_total_time": seconds, "max_len": INPUT_MAX, "timeout": INPUT_S, "rss_limit_mb": MEMORY_MB,
        "dict": dictionary, "artifact_prefix": f"{FOLDER}/{name}-", "print_final_stats": 1,
    }  # fmt: skip
    command = [sys.executable, str(Path(__file__).with_name("guided.py")), name]
    command += [f"-{key}={value}" for key, value in options.items()] + [str(corpus), str(write_seeds(name))]
    before = set(FOLDER.glob(f"{name}-*-*"))
    where = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=where)
    output = done.stdout.decode("utf-8", "replace")
    found = {key: re.findall(pattern, output) for key, pattern in FIGURES.items()}
    crashers = sorted(str(path.relative_to(ROOT)) for path in set(FOLDER.glob(f"{name}-*-*")) - before)
    figures = {key: int(values[-1]) for key, values in found.items() if values}
    return Outcome(name, figures, crashers, done.returncode, output)


def main(arguments: Sequence[str]) -> int:
    """Fuzz, print a line a target, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("target", nargs="*", choices=[[], *TARGETS])
    given = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    dictionary, names = write_dictionary(), given.target or list(TARGETS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda name: fuzz(name, given.seconds, dictionary), names))
    for outcome in outcomes:
        print(f"{outcome.name:12} {'FAILED' if is_bad(outcome) else 'ok':6} {describe(outcome.figures)}")
        if is_bad(outcome):
            print("\n".join([*outcome.crashers, *outcome.output.splitlines()[-40:]]))
    figures: dict[str, Any] = {one.name: one.figures | {"crashers": one.crashers} for one in outcomes}
    (BUILD / "fuzz.json").write_text(json.dumps({"seconds": given.seconds, "targets": figures}, indent=1) + "\n")
    return 1 if any(map(is_bad, outcomes)) else 0


def is_bad(outcome: Outcome) -> bool:
    """Whether there was a bug, or no fuzzing at all."""
    return bool(outcome.crashers) or outcome.status != 0


def describe(figures: dict[str, int]) -> str:
    """The figures in words."""
    return ", ".join(f"{value:,} {key}" for key, value in figures.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
