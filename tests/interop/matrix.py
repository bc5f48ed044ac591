"""The table that `make interop` prints: which peer was shown to do what with sipagent.

A test says which cells it is about, ``@cell("pjsua2", "hold")``; a cell is *ok* when it has tests and all of them
passed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

Peer: TypeAlias = Literal["Kamailio", "baresip", "pjsua2", "pyVoIP", "linphone", "Chromium", "sipsak", "SIPVicious"]
Column: TypeAlias = Literal["register", "call in", "call out", "hold", "DTMF", "transfer", "TLS", "SRTP", "scan"]

PEERS: tuple[Peer, ...] = ("Kamailio", "baresip", "pjsua2", "linphone", "Chromium", "pyVoIP", "sipsak", "SIPVicious")
COLUMNS: tuple[Column, ...] = ("register", "call in", "call out", "hold", "DTMF", "transfer", "TLS", "SRTP", "scan")

A_TELEPHONE = "a telephone, with which nobody registers"
UNABLE = "it can't"
LONELY = "it registers only where there is another network than the loopback"
NOT_BUILT = "not tried"
A_SCANNER = "it makes no calls"
NO_SCANNER = "it is no scanner"

ABSENT: Mapping[tuple[Peer, Column], str] = {
    ("baresip", "register"): A_TELEPHONE,
    ("pjsua2", "register"): A_TELEPHONE,
    ("linphone", "register"): A_TELEPHONE,
    ("linphone", "call out"): LONELY,
    ("Kamailio", "SRTP"): "it carries no media",
    ("pjsua2", "SRTP"): NOT_BUILT,
    ("linphone", "SRTP"): NOT_BUILT,
    ("pyVoIP", "SRTP"): UNABLE,
    ("linphone", "TLS"): "its daemon is not told whom to trust",
    ("Chromium", "register"): A_TELEPHONE,
    ("Chromium", "call out"): "a first offer of ours is never a browser's",
    ("Chromium", "transfer"): NOT_BUILT,
    ("pyVoIP", "register"): A_TELEPHONE,
    ("pyVoIP", "hold"): UNABLE,
    ("pyVoIP", "transfer"): UNABLE,
    ("pyVoIP", "TLS"): UNABLE,
    ("pyVoIP", "DTMF"): UNABLE,
    **{(peer, column): A_SCANNER for peer in ("sipsak", "SIPVicious") for column in COLUMNS[:-1]},
    **{(peer, "scan"): NO_SCANNER for peer in PEERS[:-2]},
}
"""Cells that nothing can be shown for, and why."""


def cell(peer: Peer, *columns: Column) -> pytest.MarkDecorator:
    """Mark what a test is about."""
    return pytest.mark.cell(peer, columns)


@dataclass(slots=True)
class Cell:
    """What came of the tests of a cell."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why, by the test."""

    @property
    def verdict(self) -> str:
        """In a word; ``?`` where no test ran that could have shown it."""
        if self.failed:
            return "FAILED"
        return "ok" if self.passed else "?"


class Matrix:
    """The table, while the tests run."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], Cell] = {}

    def add(self, marks: Sequence[pytest.Mark], test: str, outcome: str, reason: str) -> None:
        """Take the outcome of a test: ``passed``, ``failed`` or ``skipped``."""
        for mark in marks:
            peer, columns = mark.args
            for column in columns:
                found = self._cells.setdefault((peer, column), Cell())
                match outcome:
                    case "passed":
                        found.passed.append(test)
                    case "skipped":
                        found.skipped[test] = reason
                    case _:
                        found.failed.append(test)

    def lines(self) -> Iterator[str]:
        """The table as text, and why some cells are empty."""
        yield " ".join(f"{title:>10}" for title in ("", *COLUMNS))
        for peer in PEERS:
            yield " ".join(f"{text:>10}" for text in (peer, *(self._text(peer, column) for column in COLUMNS)))
        for reason in dict.fromkeys(ABSENT.values()):
            where = [f"{peer} {column}" for (peer, column), why in ABSENT.items() if why == reason]
            yield f"  —  {reason}: {', '.join(where)}" if len(where) < 8 else f"  —  {reason}"
        for (peer, column), found in self._cells.items():
            if found.verdict == "?":
                yield f"  ?  {peer} {column}: {'; '.join(dict.fromkeys(found.skipped.values()))}"

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        table = {peer: {column: self._data(peer, column) for column in COLUMNS} for peer in PEERS}
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")

    def _text(self, peer: Peer, column: Column) -> str:
        found = self._cells.get((peer, column))
        if found is not None:
            return found.verdict
        return "—" if (peer, column) in ABSENT else "?"

    def _data(self, peer: Peer, column: Column) -> dict[str, object]:
        found = self._cells.get((peer, column))
        if found is None:
            return {"verdict": self._text(peer, column), "reason": ABSENT.get((peer, column), "no test ran")}
        return {
            "verdict": found.verdict, "passed": found.passed, "failed": found.failed, "skipped": found.skipped,
        }  # fmt: skip
