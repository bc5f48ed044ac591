"""What a packet in and a tick out cost in our Python: ``python tests/bench/hot_path.py [--calls 50] [--seconds 60]``.

The shell's own objects of so many calls, from the socket's callback to the WebSocket's send, with sockets that do
nothing: so the kernel, the network and most of what the neighbours do are out of it, and two versions can be compared.
Every call hears its agent speak and sends the model every frame. It is run once for the time, processor time told as
the median and the best of many slices, and once under cProfile for who takes it. The table is printed, the figures go
to ``build/profile.json``. ``make profile`` has them beside those of the whole program under load (``run_profile.py``).
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from time import thread_time
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

from call.stage import CALLER, QUIET, Caller, describe, make_leg

from sipagent.agent.tools import CallInfo
from sipagent.aio import call as shell
from sipagent.aio import model_sockets
from sipagent.aio.loop import run
from sipagent.aio.media import Media
from sipagent.aio.outbox import Outbox
from sipagent.aio.replacement import Way
from sipagent.aio.ticker import Ticker
from sipagent.aio.tools import ToolRunner
from sipagent.call.call import Call, CallSettings
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.realtime.settings import SessionSettings

ROOT = Path(__file__).parents[2]
CALLS = 50
SLICE_S = 0.2
"""Of the calls' time; of as many as there are the median and the best are told."""
TICKS = 50
"""Of 20 ms, in a second."""
SHOWN = 30
"""Functions that are listed."""
TICK_S = 0.020


class Socket:
    """A UDP socket that takes everything and says nothing."""

    address = ("192.0.2.1", 10_000)
    unsent = 0

    def send(self, data: bytes, destination: object) -> None:
        """Lose it."""

    def follow(self, peer: object) -> None:
        """Nothing is connected."""

    def close(self) -> None:
        """There is nothing to close."""


class Model:
    """A WebSocket to a model that agrees to everything and talks without end."""

    def __init__(self, *, opened: Any, received: Any, lost: Any) -> None:
        self._opened, self._received = opened, received
        self.heard = 0
        """Messages with audio."""

    async def connect(self, *_where: object, **_how: object) -> None:
        """Be there at once."""
        self._opened()
        self._say("session.created", session={"id": "sess"})

    def send(self, data: bytes) -> None:
        """Answer what begins a session, and a response; audio is only heard."""
        if data.startswith(b'{"type":"input_audio_buffer.append"'):
            self.heard += 1
            return
        event = json.loads(data)
        if event["type"] == "session.update":
            self._say("session.updated", session=event["session"])
        elif event["type"] == "response.create":
            metadata = event["response"]["metadata"]
            self._say("response.created", response={"id": "resp", "status": "in_progress", "metadata": metadata})

    def speak(self, ms: int) -> None:
        """Send so much of a sentence."""
        delta = "fwB/" * (ms * 8 // 3)
        self._say("response.output_audio.delta", response_id="resp", item_id="item", content_index=0, delta=delta)

    def close(self) -> None:
        """There is nothing to close."""

    def _say(self, kind: str, **fields: object) -> None:
        self._received(json.dumps({"type": kind, **fields}).encode())


class Nobody:
    """Stands for the user agent, the observer and the range of ports."""

    outbox = Outbox()

    def observe_crash(self, _call_id: str, error: Exception) -> None:
        """A call that is over costs nothing: nothing would be measured."""
        raise error

    def open(self, *_receivers: object) -> tuple[Socket, Socket]:
        """A pair of ports."""
        return Socket(), Socket()

    def __call__(self, *_arguments: object, **_fields: object) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> "Nobody":
        return self


class Line:
    """One call that is up: its packets in, and its beat."""

    def __init__(self, number: int) -> None:
        nobody = cast(Any, Nobody())
        conversation = ConversationSettings(SessionSettings("model", turn_detection="server"), greeting="Talk.")
        conversation = replace(conversation, listener=replace(conversation.listener, detection="server"))
        call = Call(f"{number}", leg=make_leg(seed=number), settings=CallSettings(conversation), random=Random(number))
        self.media = Media(nobody, Ticker())
        self.runner = shell.CallRunner(
            call,
            handle=1,
            media=self.media,
            signalling=nobody,
            engine=shell.Engine("", {}),
            tools=ToolRunner((), report=nobody.report, call=CallInfo("")),
            staff=nobody,
            make_recorder=nobody.record,
            observer=nobody,
            ended=nobody.ended,
            way=Way(None, None, "192.0.2.1", "192.0.2.7"),
            keep=nobody.keep,
        )
        self.caller = Caller()
        self.packets: list[bytes] = []

    async def pick_up(self, seconds: float) -> None:
        """Be answered by an agent who has so much to say; and know what the caller will."""
        driver, call = self.runner.driver, self.runner.call
        driver.feed(lambda *, now: call.receive_invite(describe(), now=now))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        driver.feed(lambda *, now: call.receive_ack(b"", now=now))
        for _ in range(round(seconds) + 1):
            cast(Model, self.runner._models._present).speak(1000)
        self.packets = [self.caller.say(QUIET["PCMU"]) for _ in range(round((seconds + SLICE_S) * TICKS))]
        self.packets.reverse()

    def tick(self, now: float) -> None:
        """20 ms of it."""
        self.media.receive_packet(self.packets.pop(), CALLER)
        self.media._on_beat(now)


async def make_lines(calls: int, seconds: float) -> list[Line]:
    """Have them all picked up."""
    model_sockets.WebSocket = Model  # type: ignore[misc,assignment]
    lines = [Line(number) for number in range(calls)]
    for line in lines:
        await line.pick_up(seconds)
    return lines


def play(lines: list[Line], seconds: float) -> Iterator[float]:
    """Let time pass; yield what each slice took, in microseconds a call-second."""
    ticks = round(SLICE_S * TICKS)
    for _ in range(round(seconds / SLICE_S)):
        began = thread_time()
        for _ in range(ticks):
            for line in lines:
                line.tick(began)
        yield (thread_time() - began) * 1e6 / (len(lines) * SLICE_S)


async def measure(calls: int, seconds: float) -> dict[str, float]:
    """Time it."""
    taken = sorted(play(await make_lines(calls, seconds), seconds))
    return {"us_per_call_second": taken[len(taken) // 2], "best_us_per_call_second": taken[0]}


async def profile(calls: int, seconds: float) -> list[dict[str, Any]]:
    """See who takes it; what a function takes is told without those that it calls."""
    lines = await make_lines(calls, seconds)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in play(lines, seconds):
        pass
    profiler.disable()
    entries = cast(dict[tuple[str, int, str], tuple[int, int, float, float, Any]], pstats.Stats(profiler).stats)  # type: ignore[attr-defined]
    per = calls * seconds
    rows = [
        {
            "function": f"{Path(file).name}:{line} {name}" if line else name,
            "calls": round(count / per, 1),
            "us": round(own * 1e6 / per, 1),
        }
        for (file, line, name), (_, count, own, _, _) in entries.items()
    ]
    return sorted(rows, key=lambda row: -row["us"])


def look(calls: int, seconds: float) -> dict[str, Any]:
    """Measure, print, and return the figures."""
    figures = run(measure(calls, seconds))
    rows = run(profile(calls, seconds / 3))
    for key, value in figures.items():
        print(f"{key:26} {value:6.0f}")
    print(f"\n{'calls':>8} {'us':>8}  a call-second, as cProfile sees it (it doubles the time)")
    for row in rows[:SHOWN]:
        print(f"{row['calls']:>8} {row['us']:>8}  {row['function']}")
    return {"calls": calls, "seconds": seconds, **figures, "functions": rows[: 4 * SHOWN]}


def write(report: dict[str, Any]) -> None:
    """Keep the figures."""
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "profile.json").write_text(json.dumps(report, indent=1) + "\n")


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each call's time, for either run")
    given = parser.parse_args()
    write(look(given.calls, given.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
