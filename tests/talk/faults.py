"""A model that fails in mid-call, in every way there is: what the caller hears of it, and when the agent is back.

Every run has a model of its own, whose first session fails in the middle of a word; but one model is a process that is
killed and started again, with all its calls.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from math import inf
from pathlib import Path
from random import Random
from time import monotonic, time
from typing import Any, Final

from program import Entry, free_port
from talk import sounds
from talk.caller import FRAME_S, Caller, Record
from talk.exchange import Exchange, open_exchange
from talk.heard import Packet, tell
from talk.model import GREETING, Model, Place, Session, find_session, open_model
from talk.model_process import PACE, read_taps
from talk.plan import FILLER_MS, RESUMED_P95_MS
from talk.trials import KEY, SETTINGS, trace_of

from sipagent.aio.voice import Voice, open_voice
from sipagent.bench.plan import HOST
from sipagent.errors import SipagentError
from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.settings import LocalSettings

KILLED: Final = "model killed and restarted"
ROLL_OVER: Final = "session at its limit"
STALL: Final = "stall"

AUDIBLE_DBFS: Final = -55.0
"""A packet above is something to be heard, on any telephone."""

DROP: Final = "drop after_ms=2000"
SESSION_S: Final = 16
"""What the model gives its first session where it is to come to its limit."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to fail."""

    name: str
    first: str = ""
    """The script of the first session."""
    handshakes: str = ""
    """That of all handshakes."""
    has_spare: bool = False
    """Whether there is another engine: who has the wrong key can't come back to the first."""


KINDS: Final = (
    Kind("socket cut in mid-word", DROP),
    Kind(STALL, "stall on=1 after_ms=2000"),
    Kind("429 on the way back", DROP, "refuse_handshake on=2 status=429"),
    Kind("401 on the way back", DROP, "refuse_handshake on=2 status=401", has_spare=True),
    Kind(ROLL_OVER, f"expire seconds={SESSION_S}"),
)

FILLER_S, RESUMED_S = FILLER_MS / 1000, RESUMED_P95_MS / 1000

STRIKE_S: Final = 2.0
"""Of the agent's voice, before the process is killed."""
DOWN_S: Final = 1.0
"""For which it is dead, besides the second that it takes to start."""
TALK_S: Final = 17.0
"""From the answer to what the caller says: long after the agent is back."""
ANSWER_S: Final = 4.0
READY_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """One call whose model failed; seconds, infinity for never."""

    kind: str
    is_lost: bool
    """Whether the call ended before the caller ended it, or nobody spoke any more."""
    gap: float
    """From the last of the agent's voice to the first of anything else that is to be heard."""
    resumed: float
    """Until the voice of another session: from the end of the first one's, or from when it could be had, if later."""
    longest_gap: float
    """The longest silence from the agent's first word to what the caller said."""
    ended: str
    """Why, if the program ended it."""
    answered_at: float = 0.0
    trace: Sequence[Entry] = field(default=(), repr=False)

    @property
    def is_wrong(self) -> bool:
        """Whether its log is worth a look."""
        return self.is_lost or (self.kind != ROLL_OVER and max(self.gap / FILLER_S, self.resumed / RESUMED_S) > 1)


class KillableModel:
    """The model as a process; :attr:`back_at` is when it was ready for the second time."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._taps = [folder / "tap1", folder / "tap2"]
        self._process = self._start(self._taps[0])
        self.url = f"ws://{HOST}:{self._port}/v1/realtime"
        self.killed_at = self.back_at = inf

    @property
    def sessions(self) -> list[Session]:
        """Those of both lives."""
        return [session for tap in self._taps if tap.exists() for session in read_taps(tap)]

    async def kill_and_restart(self) -> None:
        """Kill it without a word; start it again after a while."""
        self._process.kill()
        self.killed_at = monotonic()
        await asyncio.to_thread(self._process.wait)
        await asyncio.sleep(DOWN_S)
        self._process = await asyncio.to_thread(self._start, self._taps[1])
        self.back_at = monotonic()

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _start(self, tap: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, str(Path(__file__).with_name("model_process.py")), str(self._port), str(tap)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if process.stdout is None or not process.stdout.readline():
            raise SipagentError("the model did not start")
        process.stdout.close()
        return process


async def make_failures(
    runs: int, folder: Path, *, is_realtime: bool, progress: Callable[[float], None]
) -> list[Recovery]:
    """Make every failure so often, all at once, through one program."""
    async with AsyncExitStack() as stack:
        killable = KillableModel(folder)
        stack.callback(killable.close)
        voice = await open_voice()
        stack.push_async_callback(voice.close)
        models = {}
        for kind in KINDS:
            for number in range(runs):
                model = await _open(kind, voice)
                stack.push_async_callback(model.close)
                models[f"{KINDS.index(kind)}-{number}"] = kind, model
        spare = await open_model(voice=voice)
        stack.push_async_callback(spare.close)
        urls = {name: model.url for name, (_, model) in models.items()} | {"killed": killable.url}
        with_spare = [name for name, (kind, _) in models.items() if kind.has_spare]
        settings = _settings(urls, spare.url, with_spare)
        async with open_exchange(folder, settings, is_realtime=is_realtime) as exchange:
            made = await _make_calls(exchange, [*models, *["killed"] * runs], killable, progress)
            recoveries = []
            for engine, record in made:
                trace = trace_of(record, exchange)
                if engine == "killed":
                    recoveries.append(judge(KILLED, record, killable.sessions, trace, back_at=killable.back_at))
                else:
                    kind, model = models[engine]
                    recoveries.append(judge(kind.name, record, [*model.sessions, *spare.sessions], trace))
            return recoveries


async def _open(kind: Kind, voice: Voice) -> Model:
    settings = LocalSettings(pace=PACE, faults=FaultScript.parse(kind.handshakes))

    def faults(sessions: Sequence[Session]) -> str:
        return "" if any(session.items for session in sessions) else kind.first

    return await open_model(settings, faults=faults, voice=voice)


def _settings(urls: dict[str, str], spare_url: str, with_spare: Collection[str]) -> dict[str, Any]:
    """An engine and an agent for each model, chosen by the number that is dialled; some have another engine."""
    agent: dict[str, Any] = {"instructions": "Talk.", "greeting": GREETING}
    agents = {name: agent | {"engine": name} for name in urls}
    for name in with_spare:
        agents[name]["continuity"] = {"engines": ["spare"]}
    first = next(iter(urls))
    routes = [{"agent": f"agent-{name}", "called": f"{name}-*"} for name in urls]
    return SETTINGS | {
        "lines": [{"name": "main", "agent": f"agent-{first}", "codecs": ["PCMU"], "routes": routes}],
        "agents": {f"agent-{name}": agent for name, agent in agents.items()},
        "engines": {
            name: {"url": url, "api_key": KEY, "without_key": "fail"}
            for name, url in {**urls, "spare": spare_url}.items()
        },
    }


async def _make_calls(
    exchange: Exchange, engines: Sequence[str], killable: KillableModel, progress: Callable[[float], None]
) -> list[tuple[str, Record]]:
    made: list[tuple[str, Record]] = []
    speaking = asyncio.Semaphore(0)
    clip = sounds.sentences()[0]

    async def run(number: int, engine: str) -> None:
        record = Record(engine, f"{engine}-{number}")
        caller = Caller(record, background=sounds.line_noise(10.0, seed=number), random=Random(number))
        async with exchange.call(caller):
            if engine == "killed":
                await caller.hear_agent(STRIKE_S)
                speaking.release()
            await caller.rest(record.answered_at + TALK_S - monotonic())
            await caller.say("sentence", "after all", clip)
            await caller.rest(ANSWER_S)
        made.append((engine, record))
        progress(len(made) / len(engines))

    async with asyncio.TaskGroup() as group:
        for number, engine in enumerate(engines):
            group.create_task(run(number, engine))
        for _ in range(engines.count("killed")):
            await speaking.acquire()
        await killable.kill_and_restart()
    return made


def judge(
    kind: str, record: Record, sessions: Sequence[Session], trace: Sequence[Entry], *, back_at: float = -inf
) -> Recovery:
    """Judge a call by what came of which session."""
    ids = [entry["session_id"] for entry in trace if entry["event"] == "model_ready"]
    mine = [find_session(sessions, session_id) for session_id in ids]
    packets = tell(record.arrivals, [item for session in mine for item in session.items.values()])
    first = set(mine[0].items) if mine else set()
    said_at, ended_at = (record.said[-1].onset_at, record.said[-1].ended_at) if record.said else (inf, inf)
    is_answered = any(packet.place is not None and packet.at > ended_at for packet in packets)
    found = recovery(
        kind, packets, first, back_at=_noticed_at(trace) if kind == STALL else back_at, until=said_at, ended=record.lost
    )
    is_lost = found.is_lost or not is_answered
    return replace(found, is_lost=is_lost, answered_at=record.answered_at, trace=trace)


def recovery(
    kind: str,
    packets: Sequence[Packet],
    first: Set[Place],
    *,
    back_at: float = -inf,
    until: float = inf,
    ended: str = "",
) -> Recovery:
    """Judge what came to a caller.

    :param first: what the session said that failed
    :param back_at: from when there could be another one
    :param until: when the caller spoke
    :param ended: why the program ended the call, if it did
    """
    last_at = max((packet.at for packet in packets if packet.place in first and packet.at < until), default=inf)
    after = [packet for packet in packets if packet.at > last_at and packet.kind not in ("silent", "remnant")]
    back = next((packet.at for packet in after if packet.place is not None and packet.place not in first), inf)
    return Recovery(
        kind,
        bool(ended) or (kind != ROLL_OVER and back == inf),
        next((packet.at - last_at - FRAME_S for packet in after if packet.level_dbfs > AUDIBLE_DBFS), inf),
        inf if back == inf else back - max(last_at, back_at),
        _longest_gap(packets, until),
        ended,
    )


def _noticed_at(trace: Sequence[Entry]) -> float:
    """When a model that is silent was given up."""
    offset = time() - monotonic()
    times = [entry["time"] for entry in trace if entry["event"] == "model_lost"]
    return min((datetime.fromisoformat(str(at)).timestamp() - offset for at in times), default=-inf)


def _longest_gap(packets: Sequence[Packet], until: float) -> float:
    times = [packet.at for packet in packets if packet.is_agent and packet.at < until]
    return max((after - before - FRAME_S for before, after in pairwise(times)), default=inf)
