"""The round trip: RTP to the program, to a model that is an echo, and back, every packet timed.

A pulse is a packet that bears its time, hidden in nine quiet samples; between pulses there is silence, which an echo
does not send back. Without silence between them pulses are an unbroken sound: what a model says is never thrown away,
so that each moment in which nothing was there to be played makes all that follows later.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import cycle
from random import Random
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from quality.exchange import Exchange
from quality.network import fates
from quality.plan import PERFECT
from quality.telephone import SILENCE, Telephone

from sipagent.bench.figures import grid_deviations
from sipagent.bench.mark import CALLER, MARK_BYTES, make_mark, read_age
from sipagent.bench.speech import frames, hiss
from sipagent.rtp.packet import parse_packet

SETTLE_S = 2.0
"""From the last answer to the first packet that counts."""
SINGLE_CALLS = 10
HISS_S = 1.0
MARK_AT = 60
"""Clear of the 5 ms at either end that are faded when a sound begins or stops in the middle."""
PULSE_EVERY = 10
"""Packets. A pulse of 20 ms has left all queues before the next one comes."""
WAY_BACK_S = 1.0
"""Pulses sent in the last second may be on their way yet."""
STEP_S = 0.5
"""How often progress is told."""


@dataclass(frozen=True, slots=True)
class Echo:
    """What came back; seconds."""

    calls: int
    is_unbroken: bool
    round_trips: NDArray[np.float64]
    deviations: NDArray[np.float64]
    """Of the program's packets from an even grid of 20 ms."""
    returned: float
    """The share of pulses that came back, 0 to 1."""


async def run_echo(
    exchange: Exchange, calls: int, seconds: float, *, is_unbroken: bool = False, progress: Callable[[float], None]
) -> Echo:
    """Hold so many calls for so long; ``progress`` is told how much of it is over, 0 to 1."""
    async with AsyncExitStack() as stack:
        pulses = [Pulses(Random(seed), every=1 if is_unbroken else PULSE_EVERY) for seed in range(calls)]
        telephones = [Telephone(each, fates(PERFECT, 0), random=exchange.random) for each in pulses]
        for telephone in telephones:
            await stack.enter_async_context(exchange.call(telephone, None))
        await asyncio.sleep(SETTLE_S)
        begins_at = monotonic()
        while (over := monotonic() - begins_at) < seconds:
            progress(over / seconds)
            await asyncio.sleep(STEP_S)
        ends_at = monotonic()
        await asyncio.sleep(WAY_BACK_S)
    sent = sum(begins_at <= at < ends_at for each in pulses for at in each.sent_at)
    round_trips: list[float] = []
    deviations: list[NDArray[np.float64]] = [np.empty(0)]
    for telephone in telephones:
        packets = [(at, packet) for at, data in telephone.arrivals if (packet := parse_packet(data)) is not None]
        ages = [(at, age) for at, packet in packets if (age := _age(packet.payload, at)) is not None]
        round_trips += [age for at, age in ages if begins_at <= at - age < ends_at]
        measured = [(packet.sequence_number, at) for at, packet in packets if begins_at <= at < ends_at]
        deviations.append(grid_deviations([number for number, _ in measured], [at for _, at in measured]))
    returned = len(round_trips) / max(1, sent)
    return Echo(calls, is_unbroken, np.array(round_trips), np.concatenate(deviations), returned)


async def run_single_echoes(exchange: Exchange, seconds: float, *, progress: Callable[[float], None]) -> Echo:
    """Hold one call after the other: the beats of both ends lie otherwise in each, and so a packet waits otherwise."""
    found = []
    for number in range(SINGLE_CALLS):
        found.append(await run_echo(exchange, 1, seconds / SINGLE_CALLS, progress=lambda _share: None))
        progress((number + 1) / SINGLE_CALLS)
    round_trips = np.concatenate([each.round_trips for each in found])
    deviations = np.concatenate([each.deviations for each in found])
    return Echo(1, False, round_trips, deviations, min(each.returned for each in found))


class Pulses:
    """What a telephone sends: a pulse now and then, else silence."""

    def __init__(self, random: Random, *, every: int) -> None:
        self._sounds = cycle(frames(hiss(HISS_S, random=random)))
        self._every = every
        self._count = 0
        self.sent_at: list[float] = []

    def __call__(self) -> bytes:
        """Make the next 20 ms."""
        self._count += 1
        if self._count % self._every:
            return SILENCE
        now = monotonic()
        self.sent_at.append(now)
        mark, sound = make_mark(CALLER, now), next(self._sounds)
        return mark + sound[MARK_BYTES:MARK_AT] + mark + sound[MARK_AT + MARK_BYTES :]


def _age(payload: bytes, at: float) -> float | None:
    mark = payload[MARK_AT : MARK_AT + MARK_BYTES]
    return read_age(mark, at) if mark[:1] == bytes((CALLER,)) else None
