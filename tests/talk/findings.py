"""All that one run found, as the report, the plots and the file of figures need it."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from time import monotonic, time

from figure import Figure
from program import Entry
from talk.faults import Recovery
from talk.figures import (
    DOUBLE_TALK,
    FALSE_STARTS,
    SIMULATED,
    SURROUNDINGS,
    all_recovery_figures,
    lateness,
    overlaps,
    simulated_figures,
    talk_figures,
)
from talk.judge import Judgement, Overlap
from talk.plan import FALSE_CUTS, LATE_P95_MS, LATE_P99_MS, PLACES, RESUME_MS, Plan
from talk.simulated import Truncation

MAX_TRACES = 20
"""Of the calls in which something went wrong."""
BEFORE_S, TRACE_S = 0.3, 3.0
"""How much of the log is shown, before the onset and after."""
MAX_LINES = 40
WALL_OFFSET = time() - monotonic()


@dataclass(frozen=True)
class Findings:
    """What was measured."""

    plan: Plan
    is_quick: bool
    judgements: Sequence[Judgement]
    recoveries: Sequence[Recovery]
    simulated: Sequence[Truncation]
    simulated_recoveries: Sequence[Recovery]
    seconds: float
    """How long it all took."""
    trouble: str = ""
    """What could not be measured, and why."""

    @cached_property
    def by_kind(self) -> Mapping[str, Sequence[Judgement]]:
        """The calls by the kind of their scene."""
        kinds = dict.fromkeys(judgement.record.kind for judgement in self.judgements)
        return {kind: [each for each in self.judgements if each.record.kind == kind] for kind in kinds}

    @cached_property
    def figures(self) -> list[Figure]:
        """Every figure, with its bar."""
        simulated = simulated_figures(self.simulated)
        real = all_recovery_figures(self.recoveries)
        made_up = all_recovery_figures(self.simulated_recoveries, SIMULATED)
        return [*talk_figures(self.by_kind), *simulated, *real, *made_up]

    @cached_property
    def faults(self) -> list[str]:
        """Why the run says nothing of the program."""
        found = [self.trouble] if self.trouble else []
        for share, most in ((95, LATE_P95_MS), (99, LATE_P99_MS)):
            late = lateness(self.judgements, share)
            if late > most:
                found.append(f"not valid: callers behind their own beat, p{share}: {late:.1f} ms, more than {most:g}")
        return found

    @property
    def missed(self) -> list[str]:
        """The bars that were missed, and why the run was none, in words."""
        return [*self.faults, *(str(figure) for figure in self.figures if figure.is_missed)]

    def wrongs(self) -> Iterator[tuple[str, Judgement, Overlap | None]]:
        """Yield what went wrong where something is asked: in words, with its call."""
        for place in PLACES:
            for judgement in self.by_kind.get(f"interruption, {place}", ()):
                for overlap in judgement.overlaps:
                    if overlap.is_missed:
                        yield f"missed, {place}: {overlap.said.name}", judgement, overlap
        for kind in FALSE_CUTS:
            for judgement in self.by_kind.get(kind, ()):
                yield from _false_starts(kind, judgement)
        for judgement in self.judgements:
            if judgement.record.lost:
                yield f"lost ({judgement.record.lost}): {judgement.record.kind}", judgement, None

    def as_data(self) -> dict[str, object]:
        """Everything, for the file of figures."""
        return {
            "quick": self.is_quick,
            "seconds": round(self.seconds, 1),
            "plan": asdict(self.plan),
            "machine": machine(),
            "faults": self.faults,
            "figures": [asdict(figure) | {"missed": figure.is_missed} for figure in self.figures],
            "overlaps": [_overlap(judgement, each) for judgement in self.judgements for each in judgement.overlaps],
            "recoveries": [_recovery(each) for each in self.recoveries],
            "wrong": [_wrong(*wrong) for wrong, _ in zip(self.wrongs(), range(MAX_TRACES), strict=False)],
        }

    @property
    def silences(self) -> Mapping[str, Sequence[float]]:
        """Onset to silence in seconds, by place."""
        kinds = {place: f"interruption, {place}" for place in PLACES} | {DOUBLE_TALK: DOUBLE_TALK}
        return {name: [each.silence for each in overlaps(self.by_kind.get(kind, ()))] for name, kind in kinds.items()}

    @property
    def false_cuts(self) -> Mapping[str, tuple[int, float]]:
        """Cuts, and of how many sounds or in how many minutes, by kind."""
        found: dict[str, tuple[int, float]] = {}
        for kind in FALSE_STARTS:
            these = overlaps(self.by_kind.get(kind, ()))
            found[kind] = sum(each.is_cut for each in these), len(these)
        for kind in SURROUNDINGS:
            calls = self.by_kind.get(kind, ())
            minutes = sum(each.record.ended_at - each.record.answered_at for each in calls) / 60
            found[kind] = sum(each.cuts for each in calls), minutes
        return found


def _false_starts(kind: str, judgement: Judgement) -> Iterator[tuple[str, Judgement, Overlap | None]]:
    if kind in SURROUNDINGS and judgement.cuts:
        yield f"{judgement.cuts} false cuts, {kind}", judgement, None
    for overlap in judgement.overlaps:
        if overlap.is_cut:
            yield f"false cut: {overlap.said.name}", judgement, overlap
        elif overlap.resumed * 1000 > RESUME_MS or overlap.lost_ms:
            yield f"not resumed in time, or not whole: {overlap.said.name}", judgement, overlap


def _overlap(judgement: Judgement, overlap: Overlap) -> dict[str, object]:
    times = {name: getattr(overlap, name) for name in ("duck", "silence", "cut", "answer", "resumed")}
    shown = {f"{name}_ms": round(1000 * value, 1) if abs(value) < 1e6 else None for name, value in times.items()}
    loss = {"lost_ms": overlap.lost_ms, "repeated_ms": overlap.repeated_ms}
    return {"call": judgement.record.kind, "said": overlap.said.name, **shown, **loss}


def _recovery(recovery: Recovery) -> dict[str, object]:
    times = {name: getattr(recovery, name) for name in ("gap", "resumed", "longest_gap")}
    shown = {f"{name}_ms": round(1000 * value, 1) if abs(value) < 1e6 else None for name, value in times.items()}
    log = [line_of(entry, recovery.answered_at) for entry in recovery.trace] if recovery.is_wrong else []
    rest = {"kind": recovery.kind, "lost": recovery.is_lost, "ended": recovery.ended}
    return rest | shown | {"log": log[:MAX_LINES]}


def _wrong(words: str, judgement: Judgement, overlap: Overlap | None) -> dict[str, object]:
    return {"what": words, "called": judgement.record.called, "log": trace(judgement, overlap)}


def trace(judgement: Judgement, overlap: Overlap | None) -> list[str]:
    """Return the lines of the program's log about it, each with its milliseconds from the onset, or from the answer."""
    began_at = overlap.said.onset_at if overlap is not None else judgement.record.answered_at
    lines = []
    for entry in judgement.trace:
        seconds = _monotonic(entry) - began_at
        if overlap is None or -BEFORE_S < seconds < TRACE_S:
            lines.append(line_of(entry, began_at))
    return lines[:MAX_LINES]


def line_of(entry: Entry, began_at: float) -> str:
    """Return a line of the log, with its milliseconds from a time."""
    rest = {name: value for name, value in entry.items() if name not in ("time", "level", "event", "call")}
    return f"{1000 * (_monotonic(entry) - began_at):+8.0f} ms {entry['event']} {rest or ''}".rstrip()


def _monotonic(entry: Entry) -> float:
    """When a line of the log was written, by the clock of the callers."""
    return datetime.fromisoformat(str(entry["time"])).timestamp() - WALL_OFFSET


def machine() -> dict[str, object]:
    """On what it was measured."""
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "load": os.getloadavg()[1],
    }
