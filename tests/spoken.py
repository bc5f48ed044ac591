"""Calls to a running program by a caller who speaks, and what came of them in its log."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from program import ROOT, Entry

CALL_S = 90.0
"""A call takes half a minute, by the length of what is said."""


def call(folder: Path, uri: str, *sentences: str) -> list[dict[str, Any]]:
    """Call, say the sentences, each when the agent is silent, and return what the caller's side notes."""
    says = [part for sentence in sentences for part in ("--say", sentence)]
    files = ["--facts", str(folder / "facts.json"), "--record", str(folder / "call.wav")]
    done = subprocess.run(
        [sys.executable, "-m", "sipagent", "call", uri, *says, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CALL_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts: list[dict[str, Any]] = json.loads((folder / "facts.json").read_text())
    return facts


def texts(entries: list[Entry], event: str, key: str = "text") -> list[str]:
    """One field of every entry of a kind."""
    return [entry[key] for entry in entries if entry["event"] == event]
