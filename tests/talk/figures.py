"""The figures of the conversation and their bars."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from math import inf, isfinite

import numpy as np
from figure import Figure
from talk.faults import KILLED, KINDS, ROLL_OVER, STALL, Recovery
from talk.judge import Judgement, Overlap
from talk.plan import (
    DUCK_P50_MS,
    FALSE_CUTS,
    FILLER_MS,
    GREETING_P95_MS,
    LOST_MS,
    PLACES,
    RESUME_MS,
    RESUMED_P95_MS,
    ROLL_OVER_MS,
    SILENCE_P50_MS,
    SILENCE_P95_MS,
    SPEAKING,
    TRUNCATE_MS,
)
from talk.simulated import LEAST, Truncation

FALSE_STARTS = ("coughs and backchannels", "throats and breaths", "clicks", "keys in the audio")
SURROUNDINGS = ("echo at 10 dB", "echo at 20 dB", "echo at 6 dB", "street at 10 dB", "hold music")
SIMULATED = ", simulated"
DOUBLE_TALK = "double talk at 10 dB"


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds, of values of which some may be infinite; infinity when there are none."""
    if not seconds:
        return inf
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(np.ceil(share / 100 * len(ordered))) - 1)]


def overlaps(judgements: Sequence[Judgement]) -> list[Overlap]:
    """Return every utterance over the agent's voice."""
    return [overlap for judgement in judgements for overlap in judgement.overlaps]


def interruption_figures(place: str, found: Sequence[Overlap]) -> Iterator[Figure]:
    """Yield those of people who mean to interrupt.

    :param place: one of :data:`~talk.plan.PLACES`, or double talk
    """
    part = f"interruption, {place}"
    is_quiet = place == PLACES[0]
    ducks, silences = [each.duck for each in found], [each.silence for each in found]
    yield Figure(part, "onset to duck, p50", percentile_ms(ducks, 50), "ms", DUCK_P50_MS if is_quiet else None)
    yield Figure(part, "onset to duck, p95", percentile_ms(ducks, 95), "ms")
    p50, p95 = percentile_ms(silences, 50), percentile_ms(silences, 95)
    yield Figure(part, "onset to silence, p50", p50, "ms", SILENCE_P50_MS if is_quiet else None)
    yield Figure(part, "onset to silence, p95", p95, "ms", SILENCE_P95_MS.get(place))
    yield Figure(part, "onset to cut, p50", percentile_ms([each.cut for each in found], 50), "ms", note="the truncate")
    missed = sum(each.is_missed for each in found)
    yield Figure(part, "missed", missed, "", 0 if is_quiet else None, note=f"of {len(found)}")
    answers = [each.answer for each in found if isfinite(each.answer)]
    yield Figure(part, "end of turn to answer, p50", percentile_ms(answers, 50), "ms")
    yield Figure(part, "end of turn to answer, p95", percentile_ms(answers, 95), "ms")


def false_start_figures(kind: str, found: Sequence[Overlap]) -> Iterator[Figure]:
    """Yield those of sounds that are not meant to interrupt."""
    is_judged = kind in FALSE_CUTS
    cuts = sum(each.is_cut for each in found)
    yield Figure(kind, "false cuts", cuts, "", FALSE_CUTS.get(kind), note=f"of {len(found)}")
    kept = [each for each in found if not each.is_cut]
    paused = [each for each in kept if isfinite(each.duck)]
    yield Figure(kind, "pauses", len(paused), note=f"of {len(kept)} that were not cut")
    worst = max((1000 * max(0.0, each.resumed) for each in paused), default=0.0 if kept else inf)
    lost = max((each.lost_ms for each in kept), default=0.0 if kept else inf)
    repeated = max((each.repeated_ms for each in kept), default=0.0)
    yield Figure(kind, "end of the sound to going on, worst", worst, "ms", RESUME_MS if is_judged else None)
    yield Figure(kind, "lost of what the model sent, worst", lost, "ms", LOST_MS if is_judged else None)
    yield Figure(kind, "heard twice, worst", repeated, "ms")


def surrounding_figures(kind: str, judgements: Sequence[Judgement]) -> Iterator[Figure]:
    """Yield those of calls in which the caller says nothing, but something is to be heard."""
    seconds = sum(judgement.agent_s for judgement in judgements)
    wall_s = sum(judgement.record.ended_at - judgement.record.answered_at for judgement in judgements)
    cuts = sum(judgement.cuts for judgement in judgements)
    note = f"in {wall_s / 60:.1f} minutes, {seconds / 60:.1f} of the agent's voice"
    yield Figure(kind, "false cuts", cuts, "", FALSE_CUTS.get(kind), note=note)
    yield Figure(kind, "pauses", sum(judgement.stops for judgement in judgements))
    lost = max((judgement.lost_ms for judgement in judgements), default=inf)
    yield Figure(kind, "lost of what the model sent, worst", lost, "ms", LOST_MS if kind in FALSE_CUTS else None)
    share = seconds / wall_s if wall_s else 0.0
    yield Figure(kind, "share of the time in which the agent speaks", share, "", SPEAKING.get(kind), "at least")


def memory_figures(judgements: Sequence[Judgement]) -> Iterator[Figure]:
    """Yield how true the model's memory is to what the caller received."""
    errors = [abs(error) for judgement in judgements for error in judgement.truncate_errors_ms]
    part = "truncation"
    worst = max(errors, default=inf)
    yield Figure(part, "told less received, worst", worst, "ms", TRUNCATE_MS, note=f"of {len(errors)} truncates")
    cut = sum(each.is_cut for each in overlaps(judgements))
    yield Figure(part, "barge-ins", cut, "", 100, "at least", "with speech over the agent's voice")
    refused = sum(judgement.refused_truncates for judgement in judgements)
    yield Figure(part, "truncates that the model refused", refused, "", 0)
    others = [error for judgement in judgements for error in judgement.other_errors]
    yield Figure(part, "other complaints of the model's", len(others), note=", ".join(sorted(set(others))))
    lost = [judgement.record.lost for judgement in judgements if judgement.record.lost]
    yield Figure(part, "calls lost", len(lost), "", 0, note=", ".join(sorted(set(lost))))


def greeting_figures(judgements: Sequence[Judgement]) -> Iterator[Figure]:
    """Yield how long a caller waits for the first word."""
    waits = [each.greeting for each in judgements if not each.record.kind.startswith(("street", "hold music"))]
    yield Figure("greeting", "answer to first audible word, p50", percentile_ms(waits, 50), "ms")
    p95, note = percentile_ms(waits, 95), f"of {len(waits)} calls"
    yield Figure("greeting", "answer to first audible word, p95", p95, "ms", GREETING_P95_MS, note=note)


def recovery_figures(kind: str, found: Sequence[Recovery], suffix: str = "") -> Iterator[Figure]:
    """Yield what a caller noticed of one kind of failure; ``suffix`` is added to its name."""
    part = kind + suffix
    lost = [each for each in found if each.is_lost]
    reasons = ", ".join(sorted({each.ended or "nobody spoke" for each in lost}))
    note = f"of {len(found)}" + (f": {reasons}" if lost else "")
    yield Figure(part, "calls lost", len(lost) if found else inf, "", 0, note=note)
    if kind == ROLL_OVER:
        gap = max((each.longest_gap for each in found), default=inf)
        yield Figure(part, "longest silence of the agent, worst", 1000 * gap, "ms", ROLL_OVER_MS)
        return
    gap = max((each.gap for each in found), default=inf)
    yield Figure(part, "silence before something is heard, worst", 1000 * gap, "ms", FILLER_MS)
    since = {STALL: "from when the model was given up", KILLED: "from when the model could be had again"}.get(kind, "")
    p95 = percentile_ms([each.resumed for each in found], 95)
    yield Figure(part, "silence before the agent goes on, p95", p95, "ms", RESUMED_P95_MS, note=since)


def all_recovery_figures(recoveries: Sequence[Recovery], suffix: str = "") -> Iterator[Figure]:
    """Yield those of every kind of failure."""
    for name in (*(kind.name for kind in KINDS), KILLED):
        yield from recovery_figures(name, [each for each in recoveries if each.kind == name], suffix)


def simulated_figures(found: Sequence[Truncation]) -> Iterator[Figure]:
    """Yield those of the simulation."""
    part = "truncation, simulated"
    errors = [error for each in found for error in each.errors_ms]
    yield Figure(part, "barge-ins", len(errors), "", LEAST, "at least")
    yield Figure(part, "told less received, worst", max(errors, default=inf), "ms", TRUNCATE_MS)
    yield Figure(part, "truncates that the model refused", sum(each.refused for each in found), "", 0)


def lateness(judgements: Sequence[Judgement], share: float) -> float:
    """Return by how many milliseconds callers missed their own beat."""
    late = np.concatenate([np.array(judgement.record.late) for judgement in judgements])
    return float(np.percentile(late, share) * 1000)


def talk_figures(by_kind: Mapping[str, Sequence[Judgement]]) -> Iterator[Figure]:
    """Yield every figure of the calls, by the kind of scene."""
    everybody = list(chain.from_iterable(by_kind.values()))
    yield from greeting_figures(everybody)
    for place in PLACES:
        yield from interruption_figures(place, overlaps(by_kind.get(f"interruption, {place}", ())))
    yield from interruption_figures(DOUBLE_TALK, overlaps(by_kind.get(DOUBLE_TALK, ())))
    for kind in FALSE_STARTS:
        yield from false_start_figures(kind, overlaps(by_kind.get(kind, ())))
    for kind in SURROUNDINGS:
        yield from surrounding_figures(kind, by_kind.get(kind, ()))
    yield from memory_figures(everybody)
