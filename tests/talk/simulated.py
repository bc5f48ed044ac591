"""The simulation: hundreds of barge-ins, and hundreds of models that fail, with the real machines of both sides.

What the model is told was heard is what came to the telephone; and a caller whose model fails hears of it what the bars
allow. All the invariants of ``tests/sim`` hold where the model does not fail.
"""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any, Final

import msgspec
import numpy as np
from sim.link import LinkSettings
from sim.scenario import Scenario, line
from sim.world import World
from talk.caller import Record
from talk.faults import KILLED, ROLL_OVER, STALL, Recovery, recovery
from talk.heard import tell
from talk.judge import judge
from talk.model import Session

from sipagent.audio.clip import Clip
from sipagent.audio.g711 import SAMPLE_RATE, to_pcm
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.events import Ended, ModelLost, Output
from sipagent.realtime.local.phrases import STORY
from sipagent.realtime.settings import SessionSettings

INTERRUPTIONS: Final = 6
"""In each world, besides the one at its end."""
LEAST: Final = 450


REFUSED: Final = "401 on the way back"
FAILURES: Final[Mapping[str, str]] = {
    "socket cut in mid-word": "drop connection=1 after_ms={ms}",
    STALL: "stall connection=1 after_ms={ms}",
    "429 on the way back": "drop connection=1 after_ms={ms}; refuse_handshake connection=2 status=429",
    REFUSED: "drop connection=1 after_ms={ms}; refuse_handshake connection=2 status=401",
    ROLL_OVER: "expire connection=1 seconds={s}",
    KILLED: "drop connection=1 after_ms={ms}",
}
"""The script of each failure."""
DOWN_S: Final = 0.2, 2.5
"""For how long a killed model is down."""
CALL_S: Final = {STALL: 15.0, ROLL_OVER: 12.0}
OTHER_CALL_S: Final = 9.0
"""Long after the agent is back."""
LIMIT_S: Final = 60.0
"""The caller does not hang up for silence."""
PREFIX: Final = len("item_0123456789ab")
"""How ids begin that one session gave."""
FILLER_DBFS: Final = -45.0
"""As the configuration has it."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """What came of one world."""

    errors_ms: tuple[float, ...]
    """By how much what the model was told differed from what came, of each truncate."""
    refused: int


def play_all(
    worlds: int, runs: int, *, progress: Callable[[float], None]
) -> tuple[list[Truncation], list[Recovery]]:
    """Play so many worlds of interruptions, and so many of each failure, on all processors."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool:
        interrupted = [pool.submit(interrupt, seed) for seed in range(worlds)]
        failed = [pool.submit(fail, name, seed) for name in FAILURES for seed in range(runs)]
        everything = [*interrupted, *failed]
        for number, _ in enumerate(as_completed(everything), 1):
            progress(number / len(everything))
        return [each.result() for each in interrupted], [each.result() for each in failed]


def interruptions(random: Random) -> Scenario:
    """A caller who does not let the agent finish, over networks that delay and reorder, but lose nothing."""
    asks = [line("tell me a story")]
    asks += [
        line(random.choice(["tell me a story", "transfer me to sales"]), after_speech_ms=random.randint(0, 1500))
        for _ in range(INTERRUPTIONS + 1)
    ]
    jitter_s, reorder = random.choice([0.0, 0.005, 0.03]), random.choice([0.0, 0.05])
    uneven = LinkSettings(random.uniform(0.005, 0.1), jitter_s, reorder=reorder)
    return Scenario(
        "barge_ins",
        tuple(asks),
        caller_codecs=("PCMU",),
        pace=random.choice([1.2, 3.0, 8.0, 100.0]),
        rtp=(uneven, uneven),
        websocket=LinkSettings(latency_s=random.uniform(0.005, 0.15), jitter_s=random.choice([0.0, 0.01, 0.1])),
        listens=False,
        caller_limit_s=60.0,
    )


def interrupt(seed: int) -> Truncation:
    """Play a world of interruptions, and listen in: at the model's end of the WebSocket, and at the telephone."""
    world = World(seed, interruptions(Random(seed)))
    session, record = Session(1), Record("sim", "1")
    watch, clock, caller = world.agent.watch, world.clock, world.caller
    sends, receives, takes = watch.model_sends, watch.model_receives, caller.receive_rtp

    def model_sends(event: dict[str, object]) -> None:
        session.sends(msgspec.json.encode(event), now=clock.now)
        sends(event)

    def model_receives(data: bytes) -> None:
        session.receives(data, now=clock.now)
        receives(data)

    def receive_rtp(data: bytes) -> None:
        record.arrivals.append((clock.now, data))
        takes(data)

    watch.model_sends, watch.model_receives = model_sends, model_receives  # type: ignore[method-assign]
    caller.receive_rtp = receive_rtp  # type: ignore[method-assign]
    world.run()
    found = judge(record, [session])
    return Truncation(tuple(map(abs, found.truncate_errors_ms)), found.refused_truncates)


def failure(name: str, random: Random) -> Scenario:
    """A caller who listens to a story, in which the model fails; long after that the caller hangs up."""
    noise = to_pcm(np.random.default_rng(1).normal(0.0, 1000.0, SAMPLE_RATE))
    spare = (SessionSettings("spare"),) if name == REFUSED else ()
    return Scenario(
        name,
        greeting=f'Say: "{STORY}"',
        caller_codecs=("PCMU",),
        pace=random.choice([1.2, 3.0, 8.0]),
        faults=FAILURES[name].format(ms=random.randint(200, 3000), s=f"{random.uniform(6.0, 10.0):.3f}"),
        continuity=ContinuitySettings(filler=Clip({SAMPLE_RATE: noise}).at_level(FILLER_DBFS), fallbacks=spare),
        down_s=random.uniform(*DOWN_S) if name == KILLED else 0.0,
        websocket=LinkSettings(latency_s=random.uniform(0.005, 0.1), jitter_s=random.choice([0.0, 0.01])),
        listens=False,
        linger_s=LIMIT_S,
        caller_limit_s=CALL_S.get(name, OTHER_CALL_S),
    )


def fail(name: str, seed: int) -> Recovery:
    """Play a world in which the model fails, and judge it by what came to the telephone of which session."""
    world = World(seed, failure(name, Random(f"{name} {seed}")))
    watch, clock, caller = world.agent.watch, world.clock, world.caller
    sessions: dict[str, Session] = {}
    arrivals: list[tuple[float, bytes]] = []
    lost_at: list[float] = []
    takes = caller.receive_rtp

    def model_sends(event: dict[str, Any]) -> None:
        if event["type"] == "response.output_audio.delta":
            of = event["item_id"][:PREFIX]
            sessions.setdefault(of, Session(len(sessions) + 1)).sends(msgspec.json.encode(event), now=clock.now)

    def call_tells(output: Output) -> None:
        if isinstance(output, ModelLost):
            lost_at.append(clock.now)

    def receive_rtp(data: bytes) -> None:
        arrivals.append((clock.now, data))
        takes(data)

    watch.model_sends, watch.call_tells = model_sends, call_tells  # type: ignore[method-assign]
    for ignored in ("model_receives", "call_receives", "call_loses_model", "call_ticks", "settled"):
        setattr(watch, ignored, lambda *_: None)  # it knows of one model, which does not fail
    caller.receive_rtp = receive_rtp  # type: ignore[method-assign]
    world.run()
    ended = next((fact.reason for fact in world.agent.facts if isinstance(fact, Ended)), "")
    back_at = {STALL: min(lost_at, default=inf), KILLED: min(lost_at, default=inf) + world.scenario.down_s}
    packets = tell(arrivals, [item for session in sessions.values() for item in session.items.values()])
    first = set(next(iter(sessions.values())).items) if sessions else set()
    return recovery(name, packets, first, back_at=back_at.get(name, -inf), ended="" if ended == "bye" else ended)
