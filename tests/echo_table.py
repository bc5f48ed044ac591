"""Measures the guard against echo: `python tests/echo_table.py [minutes] [callers]` prints two tables.

The first has ten minutes of a talking agent a row whose voice comes back, and counts the sounds for which it would have
paused; in the second a caller speaks over the echo, and it is counted how long that takes to be noticed.
"""

import sys
from statistics import median

import numpy as np
from audio.echo_line import Ear, Line, coded, echo, noise, speak, with_delay

CALL_S = 20.0
LINES = (
    Line("line", 10.0),
    Line("speakerphone", 5.0),
    Line("speakerphone", 10.0),
    Line("speakerphone", 20.0),
    Line("speakerphone", 35.0),
    Line("speakerphone", 10.0, steps_s=5.0),
    Line("bare room", 10.0),
)
DELAYS_MS = (20.0, 400.0)
SHORTEST_PAUSE = 12
"""Frames: for two sounds within 240 ms an agent pauses once."""


def pauses(spoken: list[int]) -> int:
    """How often a pause begins."""
    return sum(at == 0 or spoken[at] - spoken[at - 1] > SHORTEST_PAUSE for at in range(len(spoken)))


def echo_row(line: Line, minutes: float) -> str:
    calls = round(minutes * 60 / CALL_S)
    random = np.random.default_rng(1)
    counts, costs = {True: 0, False: 0}, []
    for seed in range(calls):
        sent = coded(speak(CALL_S, seed))
        heard = echo(sent, with_delay(line, random.uniform(*DELAYS_MS)), seed) + noise(len(sent), seed)
        for guards in (True, False):
            ear = Ear(guards=guards)
            counts[guards] += pauses([at for at, is_speech in enumerate(ear.listen(sent, heard)) if is_speech])
            costs += ear.costs
    cost = f"{np.mean(costs) * 1e6:4.0f} {np.percentile(costs, 99) * 1e6:5.0f}" if costs else f"{'-':>4} {'-':>5}"
    return f"{name(line)}  {counts[True]:8}  {counts[False]:9}   {cost}"


def caller_row(line: Line, caller_dbfs: float, calls: int, *, before_s: float) -> str:
    delays, missed, early = [], 0, 0
    random = np.random.default_rng(2)
    for seed in range(calls):
        begins_s = before_s * random.uniform(0.5, 1.5)
        sent = coded(speak(begins_s + 1.5, seed))
        said = speak(1.5, 1000 + seed, dbfs=caller_dbfs, is_caller=True)
        heard = echo(sent, with_delay(line, random.uniform(*DELAYS_MS)), seed) + noise(len(sent), seed)
        onset = (len(heard) - len(said)) // 160
        heard[-len(said) :] += said
        spoken = [at for at, is_speech in enumerate(Ear().listen(sent, heard)) if is_speech]
        early += any(at < onset for at in spoken)
        after = [at for at in spoken if at >= onset]
        missed += not after
        delays += [20 * (after[0] + 1 - onset)] if after else []
    figures = f"{median(delays):5.0f} {np.percentile(delays, 95):5.0f}"
    return f"{name(line)}  {before_s:4.1f}  {caller_dbfs:6.0f}   {figures}  {missed:6}  {early:5}   of {calls}"


def name(line: Line) -> str:
    steps = "moves" if line.steps_s is not None else ""
    return f"{line.room:13} {line.return_loss_db:4.0f} dB {steps:5}"


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    callers = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    print(f"{minutes:g} minutes of echo, delays of 20 to 400 ms, in calls of {CALL_S:g} s")
    print(f"{'':27}   pauses  unguarded   us a loud frame, p99")
    for line in LINES:
        print(echo_row(line, minutes), flush=True)
    print("\na caller speaks over it, so many seconds after the agent began; the agent's level is -20 dBFS")
    print(f"{'':27}  after  dBFS   ms p50   p95  missed  early")
    for before_s in (4.0, 0.8):
        for line in (Line("line", 60.0), Line("line", 10.0), Line("speakerphone", 10.0), Line("bare room", 10.0)):
            for caller_dbfs in (-18.0, -26.0, -32.0):
                print(caller_row(line, caller_dbfs, callers, before_s=before_s), flush=True)


if __name__ == "__main__":
    main()
