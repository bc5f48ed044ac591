"""What one call showed: when the agent fell silent and went on, what was lost, and what the model was told of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from program import Entry
from talk.caller import FRAME_S, Record, Said
from talk.heard import Packet, tell
from talk.model import Place, Session

OVER_S = 0.06
"""An agent of whom nothing came for longer was not talked over."""
SILENT_S = 0.2
"""A gap so long is a stop."""
LATEST_S = 2.0
"""An agent that speaks on for longer, or is not cut by then, was not interrupted."""
AUDIBLE_DBFS = -45.0
"""A packet above is a sound of the agent's voice."""
SAMPLES_PER_MS = 8


@dataclass(frozen=True, slots=True)
class Overlap:
    """One utterance over the agent's voice. Times in seconds from its onset; infinity for never."""

    said: Said
    duck: float
    """The last packet at full level."""
    silence: float
    """The last packet of the agent's before a stop."""
    cut: float
    """The model was told."""
    answer: float
    """From the end of what was said: the first packet of something else."""
    resumed: float
    """From the end of what was said: the same item goes on; 0 when it never stopped, or went on before."""
    lost_ms: float
    """What is missing of an item that went on."""
    repeated_ms: float
    trace: Sequence[Entry] = ()

    @property
    def is_cut(self) -> bool:
        """Whether the agent was stopped for good."""
        return self.cut < inf

    @property
    def is_missed(self) -> bool:
        """Whether it was not stopped, or far too late."""
        return not self.is_cut or self.silence > LATEST_S


@dataclass(frozen=True, slots=True)
class Judgement:
    """One call."""

    record: Record
    overlaps: Sequence[Overlap]
    greeting: float
    """From the 200 to the first audible packet, in seconds."""
    truncate_errors_ms: Sequence[float]
    """What the model was told was heard, less what was."""
    refused_truncates: int
    other_errors: Sequence[str]
    cuts: int
    stops: int
    """Times that the agent paused within an item without being cut."""
    lost_ms: float
    """The longest bit of an item that is missing at the caller's between two others of it."""
    agent_s: float
    """How long the agent was to be heard."""
    trace: Sequence[Entry] = field(default=(), repr=False)


def judge(record: Record, sessions: Sequence[Session], trace: Sequence[Entry] = ()) -> Judgement:
    """Judge a call by what came to the caller, what the model sent, and what it was told."""
    items = [item for session in sessions for item in session.items.values()]
    packets = tell(record.arrivals, items)
    truncated = [each for session in sessions for each in session.truncated]
    errors = [each for session in sessions for each in session.errors]
    followed = zip(record.said, [*record.said[1:], None], strict=False)
    overlaps = [_judge_overlap(said, after, packets, truncated) for said, after in followed]
    heard = _heard(packets)
    return Judgement(
        record,
        [overlap for overlap in overlaps if overlap is not None],
        next((p.at - record.answered_at for p in packets if p.is_agent and p.level_dbfs > AUDIBLE_DBFS), inf),
        [ms - heard.get(place, 0) / SAMPLES_PER_MS for _, place, ms in truncated],
        sum(event_id.startswith("truncate") for _, event_id, _ in errors),
        [code for _, event_id, code in errors if not event_id.startswith("truncate")],
        len({round(at, 1) for at, _, _ in truncated}),
        sum(1 for _ in _stops(packets)),
        max((lost for lost, _ in _joins(packets)), default=0.0),
        sum(packet.is_agent for packet in packets) * FRAME_S,
        trace,
    )


def _judge_overlap(
    said: Said, after: Said | None, packets: Sequence[Packet], truncated: Sequence[tuple[float, Place, int]]
) -> Overlap | None:
    """Judge an utterance by all until the next one; ``None`` when the agent was silent anyway."""
    until = after.onset_at if after is not None else inf
    before = [p for p in packets if said.onset_at - OVER_S < p.at <= said.onset_at and p.kind == "voice"]
    later = [p for p in packets if said.onset_at < p.at < until]
    if not before:
        return None
    place = before[-1].place
    span = [before[-1], *later]
    latest = min(until, said.ended_at + LATEST_S)
    cut_at = min((at for at, _, _ in truncated if said.onset_at < at < latest), default=inf)
    joins = list(_joins([p for p in span if p.place == place]))
    return Overlap(
        said,
        max(0.0, _end_of_full_level(span) - said.onset_at),
        max(0.0, _end_of_sound(span) - said.onset_at),
        cut_at - said.onset_at,
        next((p.at - said.ended_at for p in later if p.at > said.onset_at and p.place not in (place, None)), inf),
        _resumed_at(span, place) - said.ended_at,
        max((lost for lost, _ in joins), default=0.0),
        max((repeated for _, repeated in joins), default=0.0),
    )


def _end_of_full_level(span: Sequence[Packet]) -> float:
    last = span[0].at
    for packet in span[1:]:
        if packet.kind != "voice":
            return last
        last = packet.at
    return inf


def _end_of_sound(span: Sequence[Packet]) -> float:
    """The last packet of the agent's before a stop."""
    last = span[0].at
    for packet in span[1:]:
        if packet.at - last > SILENT_S:
            return last
        if packet.is_agent:
            last = packet.at
    return inf


def _resumed_at(span: Sequence[Packet], place: Place | None) -> float:
    """When the item goes on at full level after it first did not; minus infinity when it never stopped."""
    has_stopped = False
    for packet in span:
        if packet.kind != "voice":
            has_stopped = True
        elif has_stopped:
            return packet.at if packet.place == place else inf
    return inf if has_stopped else -inf


def _joins(packets: Sequence[Packet]) -> Iterator[tuple[float, float]]:
    """What is lost and what is repeated, in ms, wherever an item goes on."""
    ends: dict[Place, int] = {}
    for packet in packets:
        if packet.place is None:
            continue
        end = ends.get(packet.place)
        if end is not None:
            gap = (packet.begin - end) / SAMPLES_PER_MS
            yield max(0.0, gap), max(0.0, -gap)
        ends[packet.place] = packet.end


def _heard(packets: Sequence[Packet]) -> dict[Place, int]:
    """How many samples of each item came."""
    heard: dict[Place, int] = {}
    for packet in packets:
        if packet.place is not None:
            heard[packet.place] = max(heard.get(packet.place, 0), packet.end)
    return heard


def _stops(packets: Sequence[Packet]) -> Iterator[float]:
    """When an item was paused and went on later."""
    last: Packet | None = None
    for packet in packets:
        if packet.place is None:
            continue
        if last is not None and last.place == packet.place and packet.at - last.at > 2 * FRAME_S:
            yield last.at
        last = packet
