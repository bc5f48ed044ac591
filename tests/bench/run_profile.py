"""``make profile``: who takes the time, in a flame graph of 100 calls, and in our Python alone.

First ``flame.py``: the program of ``sipagent bench`` under load, sampled. Then ``hot_path.py``: a packet in and a tick
out without kernel, network and neighbours, by which two versions can be compared; ``call_path.py`` does that for a
call's beginning and end. These two run the source even where the program is compiled: what stands there for sockets is
none, and machine code would not take it. The graph is ``build/profile.svg``, to be opened in a browser; the figures are
in ``build/profile.json``.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import flame, hot_path

from sipagent.bench.plan import Plan
from sipagent.errors import SipagentError

SHOWN = 40
"""Functions that are printed."""
KEPT = 200
"""Functions that are written."""


def look(calls: int, seconds: float, *, folder: Path) -> dict[str, Any]:
    """Sample the program under load, print, draw, and return the figures."""
    load, root = flame.sample_load(Plan(calls=calls, seconds=seconds), folder=folder)
    shares, all_us = flame.share_out(root), root.total_s * 1e6 / (calls * seconds)
    title = f"sipagent, {calls} calls for {seconds:g} s: {all_us:,.0f} µs a call-second"
    (folder / "profile.svg").write_text(flame.draw(root, title=title), "utf-8")
    print(
        f"{load.cpu_us:,.0f} µs a call-second, {load.system_share:.0%} in the kernel; {calls} calls for {seconds:g} s"
    )
    for fault in load.faults():
        print(f"while it was sampled, {fault}")
    for name, share in sorted(flame.threads(root).items(), key=lambda one: -one[1]):
        print(f"{share:8.1%}  {name}")
    print(f"\n{'µs':>7} {'own':>7} {'of it C':>7} {'total':>7}  function, of {all_us:,.0f} µs a call-second sampled")
    for each in shares[:SHOWN]:
        figures = f"{each.own * all_us:7.0f} {each.own:7.1%} {each.native:7.1%} {each.total:7.1%}"
        print(f"{figures}  {each.function}")
    print(f"\nThe graph: {folder / 'profile.svg'}")
    return {
        "calls": calls,
        "seconds": seconds,
        "cpu_us": load.cpu_us,
        "system_share": load.system_share,
        "sampled_us": all_us,
        "faults": [*load.faults()],
        "threads": flame.threads(root),
        "functions": [asdict(share) for share in shares[:KEPT]],
    }


def run_source(script: str, *arguments: str) -> None:
    """Run a script that is beside this one."""
    sys.stdout.flush()
    environment = os.environ | {"PYTHONPATH": str(hot_path.ROOT)}
    subprocess.run([sys.executable, str(Path(__file__).with_name(script)), *arguments], env=environment, check=True)


def main() -> int:
    """Do both, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100, help="of the graph")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the graph, and of the packets after it")
    given = parser.parse_args()
    folder = hot_path.ROOT / "build"
    folder.mkdir(exist_ok=True)
    try:
        report = look(given.calls, given.seconds, folder=folder)
    except SipagentError as error:
        print(f"profile: {error}", file=sys.stderr)
        return 2
    print("\nA packet in and a tick out, in our Python:")
    run_source("hot_path.py", "--seconds", str(given.seconds))
    hot_path.write(json.loads((folder / "profile.json").read_text("utf-8")) | {"program": report})
    print("\nA call's beginning, a second of its agent, and its end, in our Python:")
    run_source("call_path.py", "--shown", str(hot_path.SHOWN))
    return 0


if __name__ == "__main__":
    sys.exit(main())
