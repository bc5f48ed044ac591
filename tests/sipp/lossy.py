"""Calls over a network that loses 30 % of all signalling each way: ``python tests/sipp/lossy.py [--calls 500] …``.

SIPp calls through a relay (:mod:`load.relay`) that loses nearly a third of what it is given, of what SIPp sends and of
what we do, and by what :rfc:`3261` says of copies and patience every call must come about, and end at both ends. A call
is complete when it was answered and acknowledged, SIPp ended it, and we say that it was ended so. The table is printed,
the figures go to ``build/sip_loss.json``, and the exit status is 1 if fewer than 99.9 % were complete or one was left.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # for who starts this by hand
sys.path.insert(0, str(Path(__file__).parents[1]))

from load.relay import Relay
from load.sipp import HOST, Count, play
from program import ROOT, Entry, Server

NAME = "lossy"
COMPLETE_MIN = 0.999
CALL_MS = 1_000
PATIENCE_S = 120.0
"""For the last call: 64*T1 to be answered, as long to be acknowledged, and as long to say goodbye."""

GHOST_S = 40.0
"""How long after SIPp's end we may take to find out that a call is over: 64*T1 and a little."""


async def run(folder: Path, *, calls: int, rate: float, loss: float, seed: int) -> dict[str, Any]:
    """Make the calls; return the figures."""
    with Server(folder / "server") as server:
        relay = Relay((HOST, server.sip_port), loss=loss, seed=seed)
        address = await relay.open(HOST)
        timeout_s = calls / rate + PATIENCE_S
        count = await play(folder, address, name=NAME, calls=calls, rate=rate, call_ms=CALL_MS, timeout_s=timeout_s)
        await asyncio.to_thread(wait_for_ends, server)
        relay.close()
        left = round(server.metrics()["sipagent_active_calls"])
        return {
            "calls": calls,
            "loss": loss,
            "seed": seed,
            **judge(count, server.entries),
            "left": left,
            "sent": dict(relay.passed + relay.lost),
            "lost": dict(relay.lost),
            "seconds": round(count.seconds, 1),
            "p95_ms": count.p95_ms,
            "errors": count.errors[:2000],
        }


def wait_for_ends(server: Server) -> None:
    """Wait until every call has ended; what has not by then is a ghost."""

    def is_last(_entry: Entry) -> bool:
        return server.metrics()["sipagent_active_calls"] == 0

    try:
        server.wait_for(is_last, timeout_s=GHOST_S)
    except TimeoutError:
        return


def judge(count: Count, entries: Sequence[Entry]) -> dict[str, Any]:
    """Compare what SIPp says of the calls with what we do."""
    invited = {entry["call"] for entry in entries if entry["event"] == "invited"}
    acknowledged = {entry["call"] for entry in entries if entry["event"] == "answered"}
    ends = {entry["call"]: entry["reason"] for entry in entries if entry["event"] == "ended"}
    ended_well = sum(reason == "bye" for call, reason in ends.items() if call in acknowledged)
    return {
        "complete": min(count.successful, ended_well),
        "successful": count.successful,
        "byes_unanswered": count.byes_unanswered,
        "invited": len(invited),
        "never_ended": len(invited - ends.keys()),
        "ends": dict(Counter(ends.values())),
    }


def main(arguments: Sequence[str]) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10, help="calls a second")
    parser.add_argument("--loss", type=float, default=0.3, help="each way")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(run(Path(folder), calls=given.calls, rate=given.rate, loss=given.loss, seed=given.seed))
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "sip_loss.json").write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        print(f"{name:16} {value}")
    is_good = figures["complete"] >= COMPLETE_MIN * given.calls and not figures["left"] and not figures["never_ended"]
    print("ok" if is_good else "FAILED")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
