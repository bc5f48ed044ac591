"""SIPp playing ``call.xml`` many times, and what it counted."""

import asyncio
import csv
from asyncio.subprocess import DEVNULL
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from program import free_port

Address: TypeAlias = tuple[str, int]

SCENARIO = Path(__file__).with_name("call.xml")
HOST = "127.0.0.1"

INVITE_COPIES, OTHER_COPIES = 7, 11
"""One more than 64*T1 have room for (:rfc:`3261#section-17.1.1.2`, 17.1.2.2); SIPp gives up as it sends the last.

By itself it would send 5 and 7, and give up long before the RFC does.
"""

T2_MS = 4000


@dataclass(frozen=True, slots=True)
class Count:
    """What came of many calls."""

    calls: int
    successful: int
    byes_unanswered: int
    """Of the successful ones: ended by us, but the caller never heard it confirmed."""
    seconds: float
    response_ms: tuple[float, ...]
    """From INVITE to 200, of each call, in order."""
    errors: str

    @property
    def p95_ms(self) -> float:
        """What 95 of 100 calls were answered within."""
        return sorted(self.response_ms)[int(0.95 * len(self.response_ms))] if self.response_ms else float("inf")


async def play(
    folder: Path, server: Address, *, name: str, calls: int, rate: float, call_ms: int, timeout_s: float
) -> Count:
    """Make calls.

    :param folder: for what SIPp writes.
    :param name: ends the Call-ID of each; what comes before is its number.
    :param rate: calls a second.
    :param call_ms: from ACK to BYE.
    """
    errors, statistics, log = (folder / f"{name}.{end}" for end in ("errors", "csv", "log"))
    command = [
        "sipp", f"{server[0]}:{server[1]}", "-sf", str(SCENARIO), "-s", name, "-cid_str", f"%u@{name}",
        "-i", HOST, "-p", str(free_port()), "-ci", HOST, "-cp", str(free_port()), "-mi", HOST,
        "-mp", str(free_port()),
        "-m", str(calls), "-l", str(calls), "-r", str(round(rate)),
        "-d", str(call_ms), "-max_invite_retrans", str(INVITE_COPIES), "-max_non_invite_retrans", str(OTHER_COPIES),
        "-max_retrans", str(OTHER_COPIES),
        "-T2", str(T2_MS), "-timeout", f"{timeout_s:.0f}s", "-timeout_error", "-nostdin", "-skip_rlimit",
        "-trace_err", "-error_file", str(errors), "-trace_logs", "-log_file", str(log),
        "-trace_stat", "-stf", str(statistics), "-fd", "1", "-trace_rtt", "-rtt_freq", "1",
    ]  # fmt: skip
    began_at = monotonic()
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    await process.wait()
    last = _last_line(statistics)
    rtt = folder / f"{SCENARIO.stem}_{process.pid}_rtt.csv"
    return Count(
        calls=calls,
        successful=int(last.get("SuccessfulCall(C)") or 0),
        byes_unanswered=log.read_text("utf-8", "replace").count("no answer") if log.exists() else 0,
        seconds=monotonic() - began_at,
        response_ms=_read_times(rtt),
        errors=errors.read_text("utf-8", "replace") if errors.exists() else "",
    )


def _last_line(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))[-1]


def _read_times(path: Path) -> tuple[float, ...]:
    """Read ``date;milliseconds;timer`` lines below a heading."""
    if not path.exists():
        return ()
    lines = (line.split(";") for line in path.read_text("utf-8", "replace").splitlines()[1:])
    return tuple(float(fields[1]) for fields in lines if len(fields) >= 2)
