import os
import subprocess
import sys
from pathlib import Path
from random import Random
from time import perf_counter, process_time

import pytest
from sim.link import LinkSettings
from sim.scenario import Scenario, line
from sim.world import World

from sipagent.call import events
from sipagent.call.phone import Line

HOUR_S = 3600.0
LIMIT_S = 120.0
"""Of one core: to catch what has gone wrong, not to measure. It takes some 17 on a quick machine and 40 on a slow one,
and is to take less than 30."""
NETWORK = LinkSettings(latency_s=0.030, jitter_s=0.010, loss=0.01, burst=2.0, duplicate=0.001, reorder=0.005)


def make_scenario(seconds: float) -> Scenario:
    """Somebody who asks for stories and never hears one out."""
    random = Random("long call")
    lines: list[Line] = []
    for _ in range(round(seconds / 8)):
        lines.append(line("tell me a story"))
        lines.append(
            line(random.choice(["stop", "what time is it", "order status"]), after_speech_ms=random.randint(0, 6000))
        )
    return Scenario(
        "long_call",
        tuple(lines),
        caller_codecs=("PCMA",),
        records=True,
        listens=False,
        pace=3.0,
        caller_limit_s=seconds,
        call_limit_s=2 * seconds,
        rtp=(NETWORK, NETWORK),
    )


def test_an_hour(capsys: pytest.CaptureFixture[str]) -> None:
    began_at, cpu_began_at = perf_counter(), process_time()
    world = World(1, make_scenario(HOUR_S)).run()
    took, cpu = perf_counter() - began_at, process_time() - cpu_began_at
    facts = world.agent.facts
    barge_ins = sum(isinstance(fact, events.BargedIn) for fact in facts)
    truncates = sum(isinstance(fact, events.Truncated) for fact in facts)
    with capsys.disabled():
        print(f"\nan hour's call, {barge_ins} barge-ins, {truncates} truncates: {took:.1f} s, {cpu:.1f} s of CPU")
    (ended,) = (fact for fact in facts if isinstance(fact, events.Ended))
    assert ended.duration_s == pytest.approx(HOUR_S, abs=1.0)
    assert ended.media.packets_sent == pytest.approx(HOUR_S * 50, rel=0.001)
    assert barge_ins > 100
    assert truncates >= 100
    assert cpu < LIMIT_S


def test_the_same_seed_gives_the_same_call_bit_for_bit() -> None:
    first, second = (World(7, make_scenario(60.0)).run() for _ in range(2))
    assert first.digest.digest() == second.digest.digest()
    assert first.agent.facts == second.agent.facts
    assert World(8, make_scenario(60.0)).run().digest.digest() != first.digest.digest()


def test_nothing_hangs_on_the_order_of_sets() -> None:
    """Python shuffles the hashes of strings anew in every process."""
    program = "from sim.world import World; print([World(seed).run().digest.hexdigest() for seed in range(3)])"
    roots = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    digests = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(roots)}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(ran.stdout)
    assert len(digests) == 1
