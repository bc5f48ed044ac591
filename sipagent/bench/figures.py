"""The arithmetic: what the counts of a load come to, and whether that is valid, and good enough."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipagent.bench.bars import (
    JUDGED_CALLS,
    LATE_S,
    MAX_CLOCK_STEP_S,
    MAX_CPU_US,
    MAX_DEVIATION_P99_MS,
    MAX_GENERATOR_LATE_P99_MS,
    MAX_LATE_SHARE,
    MAX_LOST_SHARE,
    MAX_OTHERS_SHARE,
    MAX_SETUP_P95_MS,
    MAX_UPLINK_P99_MS,
    TOLERANCE,
)
from sipagent.bench.generator import GeneratorFigures
from sipagent.bench.model import ModelFigures
from sipagent.bench.plan import PACKETS_PER_S, Plan
from sipagent.bench.process import Usage
from sipagent.bench.tail import Tail

FRAME_S: Final = 1 / PACKETS_PER_S
SPAN_PACKETS: Final = 10 * PACKETS_PER_S


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
    appends: float | None
    """Messages with audio to the model; ``None`` when the model is another's."""
    frames: float | None
    """Packets whose audio these held."""
    deltas: float | None


@dataclass(frozen=True, slots=True)
class Others:
    """What the callers and the model themselves took, so that it is known what is measured."""

    share: float
    """Of their processors, 0 to 1."""
    generator_us: float
    """For a call-second."""
    model_us: float
    late: Tail | None
    """By how much the callers missed their own beat: what the machine does to everybody."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One load, measured; what cannot be seen of a program from outside is ``None`` for another's."""

    plan: Plan
    window_s: float
    call_seconds: float
    cpu_us: float | None
    """For a call-second."""
    system_share: float | None
    """How much of it the kernel took, 0 to 1."""
    preemptions_per_s: float | None
    """How often something else took the program's processor: the more, the less the figures are the program's own."""
    memory_per_call_bytes: float | None
    rates: Rates
    deviation: Deviation
    shift_ms: float
    """By how much the grid of some call moved meanwhile: beats let go after a stall, or a clock that drifts."""
    packets: int
    """Of the agent's that arrived."""
    lost: int
    """Packets missing in the callers' sequences."""
    late: int
    """Packets that a jitter buffer of 20 ms plays without."""
    strange: int
    filled: int | None
    """Frames that the program filled with silence, taking a caller's packet for lost."""
    unstopped: int
    answer: Tail | None
    """INVITE to 200 OK."""
    packet_to_message: Tail | None
    """A caller's packet to its message at the model."""
    delta_to_packet: Tail | None
    """A response's first delta to its packet at the caller."""
    onset_to_stop: Tail | None
    """The caller's first packet of speech to the agent's last."""
    reply: Tail | None
    """The caller's last packet of speech to the agent's first."""
    others: Others
    ended: tuple[str, ...]
    """Why calls ended early, or never stood."""
    clock_step_s: float

    @property
    def generator_late(self) -> Tail | None:
        """By how much the callers missed their own beat."""
        return self.others.late

    def faults(self) -> Iterator[str]:
        """Why the load was not the one planned."""
        expected = [("packets in", self.rates.packets_in), ("packets out", self.rates.packets_out)]
        if self.rates.appends is not None and self.plan.detection == "server":
            expected.append(("appends", self.rates.appends))
        for name, rate in expected:
            if abs(rate - PACKETS_PER_S) > TOLERANCE * PACKETS_PER_S:
                yield f"{name}: {rate:.2f} a call-second, not {PACKETS_PER_S}"
        if self.ended:
            yield f"{len(self.ended)} calls ended early: {', '.join(sorted(set(self.ended)))}"
        if abs(self.clock_step_s) > MAX_CLOCK_STEP_S:
            yield f"the clock was set by {self.clock_step_s:.3f} s"

    def excesses(self) -> Iterator[str]:
        """What is not good enough, of a load by itself."""
        judged = self.plan.calls >= JUDGED_CALLS and not self.plan.stalls
        if judged and self.cpu_us is not None and self.cpu_us > MAX_CPU_US:
            yield f"CPU: {self.cpu_us:,.0f} µs a call-second, more than {MAX_CPU_US:,.0f}"
        if self.deviation.p99_ms > MAX_DEVIATION_P99_MS:
            yield f"deviation of sent packets p99: {self.deviation.p99_ms:.1f} ms, more than {MAX_DEVIATION_P99_MS:g}"

    def flaws(self) -> Iterator[str]:
        """Why it is not clean."""
        yield from self.faults()
        for name, count, most in (("lost", self.lost, MAX_LOST_SHARE), ("late", self.late, MAX_LATE_SHARE)):
            if count > most * self.packets:
                yield f"{count} of {self.packets} packets {name}"
        for name, value, limit in (
            ("deviation p99", self.deviation.p99_ms, MAX_DEVIATION_P99_MS),
            ("uplink p99", self.packet_to_message.p99_ms if self.packet_to_message else 0.0, MAX_UPLINK_P99_MS),
            ("setup p95", self.answer.p95_ms if self.answer else 0.0, MAX_SETUP_P95_MS),
        ):
            if value > limit:
                yield f"{name}: {value:.1f} ms, more than {limit:g}"

    def doubts(self) -> Iterator[str]:
        """Why callers and model may be what is measured."""
        if self.others.share > MAX_OTHERS_SHARE:
            yield f"callers and model took {self.others.share:.0%} of their processors"
        if self.others.late is not None and self.others.late.p99_ms > MAX_GENERATOR_LATE_P99_MS:
            yield f"the callers were late themselves, p99 {self.others.late.p99_ms:.1f} ms"


def conclude(
    plan: Plan,
    *,
    answer: Sequence[float],
    callers: GeneratorFigures,
    model: ModelFigures | None,
    window_s: float,
    usages: tuple[Usage, Usage, Usage] | None,
    other_processors: int = 1,
    is_steady: bool = True,
) -> Measurement:
    """Bring the counts together.

    :param answer: of the calls that stood when it began.
    :param model: ``None`` when the model is another's.
    :param usages: of the program: before its first call, at the beginning and at the end of ``window_s`` seconds;
        ``None`` when it can't be looked at.
    :param other_processors: how many callers and model have.
    :param is_steady: whether all calls stood all the time; else their time is told by the packets of their callers.
    """
    each = callers.callers
    sent_s = sum(caller.sent for caller in each) / PACKETS_PER_S
    call_seconds = plan.calls * window_s if is_steady else sent_s
    deviations = [grid_deviations(caller.sequence_numbers, caller.arrived_at) for caller in each]
    cpu_us, system_share, preemptions, memory = _conclude_usage(plan, usages, window_s, call_seconds)
    return Measurement(
        plan=plan,
        window_s=window_s,
        call_seconds=call_seconds,
        cpu_us=cpu_us,
        system_share=system_share,
        preemptions_per_s=preemptions,
        memory_per_call_bytes=memory,
        rates=_rates(plan, callers, model, sent_s=None if is_steady else sent_s),
        deviation=deviation(deviations),
        shift_ms=1000 * max((grid_shift(caller.sequence_numbers, caller.arrived_at) for caller in each), default=0.0),
        packets=sum(len(caller.arrived_at) for caller in each),
        lost=sum(count_lost(caller.sequence_numbers) for caller in each),
        late=sum(int(np.count_nonzero(off > LATE_S)) for off in deviations),
        strange=sum(caller.strange for caller in each),
        filled=None if model is None else model.unmarked,
        unstopped=sum(caller.unstopped for caller in each),
        answer=Tail.of([*answer, *callers.answer]),
        packet_to_message=None if model is None else Tail.of(model.delays),
        delta_to_packet=_gather(caller.first_delta for caller in each),
        onset_to_stop=_gather(caller.stop for caller in each),
        reply=_gather(caller.reply for caller in each),
        others=_others(callers, model, call_seconds, other_processors),
        ended=tuple(callers.ended),
        clock_step_s=callers.clock_step_s,
    )


def _gather(each: Iterable[Sequence[float]]) -> Tail | None:
    return Tail.of([value for values in each for value in values])


def _conclude_usage(
    plan: Plan, usages: tuple[Usage, Usage, Usage] | None, window_s: float, call_seconds: float
) -> tuple[float | None, float | None, float | None, float | None]:
    """CPU, the kernel's share of it, preemptions, memory."""
    if usages is None:
        return None, None, None, None
    idle, begin, end = usages
    user_s, system_s = end.user_s - begin.user_s, end.system_s - begin.system_s
    return (
        (user_s + system_s) / call_seconds * 1e6 if call_seconds else 0.0,
        system_s / (user_s + system_s) if user_s + system_s else 0.0,
        (end.preemptions - begin.preemptions) / window_s,
        (end.resident_bytes - idle.resident_bytes) / plan.calls,
    )


def _others(callers: GeneratorFigures, model: ModelFigures | None, call_seconds: float, processors: int) -> Others:
    model_s = 0.0 if model is None else model.cpu_s
    per = 1e6 / call_seconds if call_seconds else 0.0
    late = [np.asarray(caller.late, np.float64) for caller in callers.callers]
    return Others(
        share=(callers.cpu_s + model_s) / (callers.window_s * processors),
        generator_us=callers.cpu_s * per,
        model_us=model_s * per,
        late=Tail.of(np.concatenate(late)) if late else None,
    )


def _rates(plan: Plan, callers: GeneratorFigures, model: ModelFigures | None, *, sent_s: float | None) -> Rates:
    heard = plan.calls * callers.window_s if sent_s is None else sent_s
    said = None if model is None else plan.calls * model.window_s if sent_s is None else sent_s
    return Rates(
        packets_in=sum(caller.sent for caller in callers.callers) / heard if heard else 0.0,
        packets_out=sum(len(caller.arrived_at) for caller in callers.callers) / heard if heard else 0.0,
        appends=model.appends / said if model and said else None,
        frames=model.frames / said if model and said else None,
        deltas=model.deltas / said if model and said else None,
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
