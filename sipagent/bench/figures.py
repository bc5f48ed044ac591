"""The arithmetic: what the counts of a load come to, and whether that is valid, and good enough."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipagent.bench.generator import GeneratorFigures
from sipagent.bench.model import ModelFigures
from sipagent.bench.plan import PACKETS_PER_S, Plan
from sipagent.notebook import Spread

MAX_CPU_US: Final = 3000.0
"""User and system time of the program for a call-second. Other programs of this kind take 3,500 to 14,400."""
JUDGED_CALLS: Final = 50
"""With fewer calls, each wakes the program for itself and costs more; the limit is not for them."""
MAX_DEVIATION_P99_MS: Final = 5.0
"""A caller's jitter buffer holds 20 ms and more; 5 ms leave the rest to the network."""
TOLERANCE: Final = 0.03
"""By so much a rate may miss its nominal value; beyond it the load was not the one planned, and says nothing."""
MAX_CLOCK_STEP_S: Final = 0.001
"""The wall clock stamps the packets; if it was set meanwhile, so were they."""

FRAME_S: Final = 1 / PACKETS_PER_S
SPAN_PACKETS: Final = 10 * PACKETS_PER_S


@dataclass(frozen=True, slots=True)
class Usage:
    """What the operating system says of the program, from its start."""

    user_s: float
    system_s: float
    resident_bytes: int
    preemptions: int
    """How often the processor was taken from it."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far packets arrived from an even 20 ms grid, to either side."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Rates:
    """A call's, each second."""

    packets_in: float
    packets_out: float
    appends: float
    """Messages with audio to the model."""
    frames: float
    """Packets whose audio these held."""
    deltas: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """One load, measured."""

    plan: Plan
    window_s: float
    cpu_us: float
    """For a call-second."""
    system_share: float
    """How much of it the kernel took, 0 to 1."""
    preemptions_per_s: float
    """How often something else took the program's processor: the more, the less the figures are the program's own."""
    memory_per_call_bytes: float
    rates: Rates
    deviation: Deviation
    shift_ms: float
    """By how much the grid of some call moved meanwhile: beats let go after a stall, or a clock that drifts."""
    lost: int
    """Packets missing in the callers' sequences."""
    strange: int
    filled: int
    """Frames that the program filled with silence, taking a caller's packet for lost."""
    unstopped: int
    answer: Spread | None
    """INVITE to 200 OK."""
    packet_to_message: Spread | None
    """A caller's packet to its message at the model."""
    delta_to_packet: Spread | None
    """A response's first delta to its packet at the caller."""
    onset_to_stop: Spread | None
    """The caller's first packet of speech to the agent's last."""
    generator_late: Spread | None
    """By how much the callers missed their own beat: what the machine does to everybody."""
    ended: tuple[str, ...]
    clock_step_s: float

    def faults(self) -> Iterator[str]:
        """Why the load was not the one planned."""
        expected = [("packets in", self.rates.packets_in), ("packets out", self.rates.packets_out)]
        if self.plan.detection == "server":
            expected.append(("appends", self.rates.appends))
        for name, rate in expected:
            if abs(rate - PACKETS_PER_S) > TOLERANCE * PACKETS_PER_S:
                yield f"{name}: {rate:.2f} a call-second, not {PACKETS_PER_S}"
        if self.ended:
            yield f"{len(self.ended)} calls ended early: {', '.join(sorted(set(self.ended)))}"
        if abs(self.clock_step_s) > MAX_CLOCK_STEP_S:
            yield f"the clock was set by {self.clock_step_s:.3f} s"

    def excesses(self) -> Iterator[str]:
        """What is not good enough."""
        if self.cpu_us > MAX_CPU_US and self.plan.calls >= JUDGED_CALLS and not self.plan.stalls:
            yield f"CPU: {self.cpu_us:,.0f} µs a call-second, more than {MAX_CPU_US:,.0f}"
        if self.deviation.p99_ms > MAX_DEVIATION_P99_MS:
            yield f"deviation of sent packets p99: {self.deviation.p99_ms:.1f} ms, more than {MAX_DEVIATION_P99_MS:g}"


def conclude(
    plan: Plan,
    *,
    answer: Sequence[float],
    callers: GeneratorFigures,
    model: ModelFigures,
    window_s: float,
    usages: tuple[Usage, Usage, Usage],
) -> Measurement:
    """Bring the counts together.

    :param usages: of the program: before its first call, at the beginning and at the end of ``window_s`` seconds.
    """
    idle, begin, end = usages
    user_s, system_s = end.user_s - begin.user_s, end.system_s - begin.system_s
    each = callers.callers
    return Measurement(
        plan=plan,
        window_s=window_s,
        cpu_us=(user_s + system_s) / (plan.calls * window_s) * 1e6,
        system_share=system_s / (user_s + system_s) if user_s + system_s else 0.0,
        preemptions_per_s=(end.preemptions - begin.preemptions) / window_s,
        memory_per_call_bytes=(end.resident_bytes - idle.resident_bytes) / plan.calls,
        rates=_rates(plan, callers, model),
        deviation=deviation([grid_deviations(caller.sequence_numbers, caller.arrived_at) for caller in each]),
        shift_ms=max(grid_shift(caller.sequence_numbers, caller.arrived_at) for caller in each) * 1000,
        lost=sum(count_lost(caller.sequence_numbers) for caller in each),
        strange=sum(caller.strange for caller in each),
        filled=model.unmarked,
        unstopped=sum(caller.unstopped for caller in each),
        answer=Spread.of(answer),
        packet_to_message=Spread.of(model.delays),
        delta_to_packet=Spread.of([delay for caller in each for delay in caller.first_delta]),
        onset_to_stop=Spread.of([delay for caller in each for delay in caller.stop]),
        generator_late=Spread.of([late for caller in each for late in caller.late]),
        ended=tuple(callers.ended),
        clock_step_s=callers.clock_step_s,
    )


def _rates(plan: Plan, callers: GeneratorFigures, model: ModelFigures) -> Rates:
    heard, said = plan.calls * callers.window_s, plan.calls * model.window_s
    return Rates(
        packets_in=sum(caller.sent for caller in callers.callers) / heard,
        packets_out=sum(len(caller.arrived_at) for caller in callers.callers) / heard,
        appends=model.appends / said,
        frames=model.frames / said,
        deltas=model.deltas / said,
    )


def extend(sequence_numbers: ArrayLike) -> NDArray[np.int64]:
    """Return 16-bit sequence numbers, in any order near their own, as numbers that don't wrap."""
    numbers = np.asarray(sequence_numbers, np.int64)
    steps = (np.diff(numbers) + 0x8000) % 0x10000 - 0x8000
    return np.concatenate((numbers[:1], numbers[:1] + np.cumsum(steps)))


def grid_deviations(sequence_numbers: ArrayLike, arrived_at: ArrayLike) -> NDArray[np.float64]:
    """Return by how many seconds each packet arrived off the 20 ms grid that fits its ten seconds best.

    The step is exactly 20 ms, so a sender that drifts deviates. The origin is a median, so that one late packet moves
    no other, and is found anew for every ten seconds, so that one stall does not count against all that follows.
    """
    spans = _spans(sequence_numbers, arrived_at)
    return np.concatenate([np.empty(0), *(np.abs(span - np.median(span)) for span in spans)])


def grid_shift(sequence_numbers: ArrayLike, arrived_at: ArrayLike) -> float:
    """Return by how many seconds, either way, the grid moved from the first ten seconds to the last."""
    spans = _spans(sequence_numbers, arrived_at)
    return abs(float(np.median(spans[-1]) - np.median(spans[0]))) if spans else 0.0


def _spans(sequence_numbers: ArrayLike, arrived_at: ArrayLike) -> list[NDArray[np.float64]]:
    """When each packet arrived, less when an even sender would have sent it; in spans of ten seconds."""
    offsets = np.asarray(arrived_at, np.float64) - FRAME_S * extend(sequence_numbers)
    count = max(1, round(len(offsets) / SPAN_PACKETS))
    return np.array_split(offsets, count) if len(offsets) else []


def count_lost(sequence_numbers: ArrayLike) -> int:
    """Return how many numbers are missing between the first and the last."""
    numbers = np.unique(extend(sequence_numbers))
    return int(numbers[-1] - numbers[0] + 1 - len(numbers)) if len(numbers) else 0


def deviation(per_call: Sequence[NDArray[np.float64]]) -> Deviation:
    """Sum up the packets of all calls; without any, nothing arrived as it should."""
    together = np.concatenate(per_call)
    if not len(together):
        return Deviation(*(float("inf"),) * 4)
    return Deviation(*(float(value) for value in np.percentile(together, (50, 99, 99.9, 100)) * 1000))
