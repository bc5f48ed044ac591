"""What a call's beginning and end cost in our Python: ``python tests/bench/call_path.py [--calls 1000]``.

The whole program as ``sipagent bench`` sets it, from the INVITE's datagram to the last line in the log, with sockets
that do nothing: so the kernel, the network and most of what the neighbours do are out of it, and two versions can be
compared. Every caller hears a second of the greeting and says nothing. It is run once for the time, processor time
of this thread told as the median and the best of many slices, and once under cProfile for who takes it.
``hot_path.py`` does the same for what lies between, a packet in and a tick out.
"""

import argparse
import asyncio
import cProfile
import pstats
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from time import thread_time
from typing import Any, ClassVar, TypeAlias, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.hot_path import Model, Socket

from sipagent import workplace
from sipagent.aio import log, model_sockets, ua
from sipagent.aio.line_writer import LineWriter
from sipagent.aio.loop import run
from sipagent.aio.outbox import Outbox
from sipagent.app import Application
from sipagent.bench.plan import Plan
from sipagent.bench.program import write_config
from sipagent.config import load

CALLS = 1000
SLICE = 25
"""Calls, one after the other; of as many as there are the median and the best are told."""
SHOWN = 60
"""Functions that are listed."""
CALLER = ("127.0.0.1", 50_000)
SPOKEN_MS = 1000
OFFER = """\
v=0\r
o=- 1234567890 1 IN IP4 127.0.0.1\r
s=sipagent\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 40000 RTP/AVP 0 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-16\r
a=ptime:20\r
a=sendrecv\r
"""
REQUEST = """\
{method} sip:agent@127.0.0.1:5060 SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:50000;branch=z9hG4bK{branch};rport\r
Max-Forwards: 70\r
From: <sip:bench@127.0.0.1>;tag=f{number}\r
To: <sip:agent@127.0.0.1:5060>{to_tag}\r
Call-ID: call-{number}\r
CSeq: {sequence} {method}\r
Contact: <sip:bench@127.0.0.1:50000>\r
{more}Content-Length: {length}\r
\r
{body}"""
MORE = """\
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, REFER, NOTIFY, INFO, UPDATE, PRACK\r
Supported: 100rel, timer, replaces\r
User-Agent: sipagent-bench\r
Content-Type: application/sdp\r
"""


Row: TypeAlias = tuple[float, float, float, str]
"""What a function took of a call in all and by itself, how often, and its name."""


class Ear(Socket):
    """The socket of our listener."""

    heard: ClassVar[list[bytes]] = []
    """What was sent to the caller."""
    received: ClassVar[list[Callable[[bytes, object], None]]] = []
    """Who takes what the caller sends."""

    def __init__(self, _address: object, received: Callable[[bytes, object], None], **_how: object) -> None:
        Ear.received.append(received)

    def send(self, data: bytes, destination: object) -> None:
        """Hear it."""
        self.heard.append(data)


class Ports:
    """As many as one likes."""

    def __init__(self, *_where: object, **_how: object) -> None:
        self.outbox = Outbox()

    def open(self, *_receivers: object) -> tuple[Socket, Socket]:
        """A pair of ports."""
        return Socket(), Socket()


class Nowhere:
    """Takes the log."""

    def write(self, text: str) -> None:
        """Lose it."""

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        """Nobody looks."""
        return False


class Callers:
    """They call one after the other."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._numbers = count()

    async def call(self) -> None:
        """Call, hear a second, and hang up."""
        number = next(self._numbers)
        service: Any = self._application.service
        self._say("INVITE", number, body=OFFER, more=MORE)
        (runner,) = service._runners.values()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        to_tag = Ear.heard[-1].split(b"\r\nTo: ", 1)[1].split(b"\r\n", 1)[0].partition(b">")[2].decode()
        self._say("ACK", number, to_tag=to_tag)
        cast(Model, runner._models._present).speak(SPOKEN_MS)
        for tick in range(SPOKEN_MS // 20):
            runner._media._on_beat(tick)
        self._say("BYE", number, to_tag=to_tag, sequence=2)
        assert not service.calls
        assert Ear.heard[-1].startswith(b"SIP/2.0 200")
        Ear.heard.clear()

    def _say(self, method: str, number: int, **fields: Any) -> None:
        given = {"to_tag": "", "sequence": 1, "more": "", "body": "", **fields}
        branch = f"{method}{number}"
        request = REQUEST.format(method=method, number=number, branch=branch, length=len(given["body"]), **given)
        Ear.received[-1](request.encode(), CALLER)


async def make_application(folder: Path) -> Application:
    """Have it started on sockets that do nothing."""
    ua.UdpSocket = Ear  # type: ignore[misc,assignment,attr-defined]
    workplace.RtpPorts = Ports  # type: ignore[misc,assignment,attr-defined]
    model_sockets.WebSocket = Model  # type: ignore[misc,assignment]
    log.set_up(level="info", style="json", stream=LineWriter(cast(Any, Nowhere())))
    file = folder / "call-path.yaml"
    file.write_text(write_config(Plan(), sip_port=5060, control_port=0, model_port=1))
    application = Application(load(file))
    await application.start()
    return application


async def play(application: Application, calls: int, *, took: list[float], profiler: cProfile.Profile | None) -> None:
    """Have so many calls; note what each slice took, in microseconds a call."""
    callers = Callers(application)
    for _ in range(2 * SLICE):
        await callers.call()
    if profiler is not None:
        profiler.enable()
    for _ in range(calls // SLICE):
        began = thread_time()
        for _ in range(SLICE):
            await callers.call()
        took.append((thread_time() - began) * 1e6 / SLICE)
    if profiler is not None:
        profiler.disable()


async def measure(calls: int, *, folder: Path, profiler: cProfile.Profile | None = None) -> list[float]:
    """Play, and return what the slices took."""
    application = await make_application(folder)
    took: list[float] = []
    try:
        await play(application, calls, took=took, profiler=profiler)
    finally:
        await application.stop()
    return sorted(took)


def rows_of(profiler: cProfile.Profile, calls: int) -> Iterator[Row]:
    """Yield what functions took of a call: with those they called and without, how often, and their names."""
    entries = cast(dict[tuple[str, int, str], tuple[int, int, float, float, Any]], pstats.Stats(profiler).stats)  # type: ignore[attr-defined]
    for (file, line, name), (_, often, own, total, _) in entries.items():
        function = f"{Path(file).name}:{line} {name}" if line else name
        yield total * 1e6 / calls, own * 1e6 / calls, often / calls, function


def look(calls: int, *, shown: int, folder: Path) -> None:
    """Measure, and print."""
    took = run(measure(calls, folder=folder))
    print(f"{'us_per_call':26} {took[len(took) // 2]:6.0f}\n{'best_us_per_call':26} {took[0]:6.0f}", flush=True)
    if not shown:
        return
    profiler = cProfile.Profile()
    run(measure(calls, folder=folder, profiler=profiler))
    rows = list(rows_of(profiler, calls))
    orders: dict[str, Callable[[Row], float]] = {
        "without what it calls": lambda row: -row[1],
        "with what it calls": lambda row: -row[0],
    }
    for title, order in orders.items():
        print(f"\n{'total us':>9} {'own us':>8} {'calls':>7}  a call, by what a function takes {title}")
        for total, own, often, function in sorted(rows, key=order)[:shown]:
            print(f"{total:9.1f} {own:8.1f} {often:7.1f}  {function}")


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--shown", type=int, default=SHOWN, help="functions; 0 measures the time alone")
    given = parser.parse_args()
    folder = Path(__file__).parents[2] / "build"
    folder.mkdir(exist_ok=True)
    look(given.calls, shown=given.shown, folder=folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
