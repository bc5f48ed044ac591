"""Hundreds of barge-ins in the simulation: what the model is told was heard is what came to the telephone.

Each world has the real machines of both sides, and all the invariants of ``tests/sim`` hold in it.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec
from sim.link import LinkSettings
from sim.scenario import Scenario, line
from sim.world import World
from talk.caller import Record
from talk.judge import judge
from talk.model import Session

INTERRUPTIONS: Final = 6
"""In each world, besides the one at its end."""
LEAST: Final = 450


@dataclass(frozen=True, slots=True)
class Truncation:
    """What came of one world."""

    errors_ms: tuple[float, ...]
    """By how much what the model was told differed from what came, of each truncate."""
    refused: int


def play_all(worlds: int, *, progress: Callable[[float], None]) -> list[Truncation]:
    """Play so many worlds, on all processors."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool:
        played = [pool.submit(interrupt, seed) for seed in range(worlds)]
        for number, _ in enumerate(as_completed(played), 1):
            progress(number / worlds)
        return [each.result() for each in played]


def scenario(random: Random) -> Scenario:
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
    world = World(seed, scenario(Random(seed)))
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
