"""Hundreds of barge-ins: what the model is told was heard is what came to the telephone, to the frame."""

from random import Random

import msgspec
import pytest
from sim.link import LinkSettings
from sim.scenario import Scenario, line
from sim.world import World
from talk.caller import Record
from talk.judge import Judgement, judge
from talk.model import Session

GROUPS = 10
WORLDS = 8
"""In each group."""
INTERRUPTIONS = 6
"""In each world; all but the last words of the call come over the agent's voice."""
ENOUGH = 450 // GROUPS
MOST_MS = 20


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


def play(seed: int) -> Judgement:
    """Play a world; listen in at the model's end of the WebSocket, and at the telephone's of the network."""
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
    return judge(record, [session])


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_model_believes_what_the_telephone_received(group: int) -> None:
    judgements = [play(seed) for seed in range(group, GROUPS * WORLDS, GROUPS)]
    errors = [error for judgement in judgements for error in judgement.truncate_errors_ms]
    assert len(errors) >= ENOUGH
    assert max(map(abs, errors)) <= MOST_MS
    assert sum(judgement.refused_truncates for judgement in judgements) == 0
