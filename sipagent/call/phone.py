"""A telephone of our own: it calls, says its lines when their moment comes, listens with a stopwatch, and records.

It is a machine like the call it talks to, so it calls across a real network and a simulated one alike. Its only judge
of the other side is the level of what it hears.

It has two ears. The stopwatch's hears each packet at the moment it comes: what it times is what was on the wire. The
recording has what a person would have heard, through a jitter buffer and with losses concealed, and so later by the
buffer's delay, some 40 ms on an even network; our own voice is in it when it was said.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TypeAlias

from sipagent.audio.vad import level_dbfs
from sipagent.call import events
from sipagent.call.earpiece import Earpiece, Meter
from sipagent.call.events import Address
from sipagent.call.jitter_buffer import JitterStats
from sipagent.call.playout import Playout
from sipagent.call.record import Record
from sipagent.call.sip_leg import SipLeg
from sipagent.call.talker import Talker
from sipagent.errors import RemoteProtocolError
from sipagent.formats import PCM, PCMU, AudioFormat
from sipagent.rtp.session import Frame

AUDIBLE_DBFS = -50.0
"""A frame at this level or above is heard as sound."""

PAUSE_S = 0.3
"""Shorter silences are within speech, longer ones between utterances."""

CODECS = ("PCMU", "PCMA")
"""What is offered unless the user wants something else."""


def format_for(codecs: Iterable[str]) -> AudioFormat:
    """The format of lines and of the recording: G.711 as it is on the wire, else as wide as a voice is."""
    return PCMU if set(codecs) <= {"PCMU", "PCMA"} else PCM


@dataclass(frozen=True, slots=True)
class Line:
    """Something to say or to press, and when.

    :param audio: what to say, in the leg's format.
    :param after_speech_ms: say it once the agent has spoken that long, over its voice; ``None`` waits for its silence.
    :param after_silence_ms: say it once the agent has spoken and then been silent that long.
    """

    text: str
    audio: bytes = b""
    digits: str = ""
    after_speech_ms: int | None = None
    after_silence_ms: int = 700


@dataclass(frozen=True, slots=True)
class Ringing:
    """The other side rings."""

    status: int


@dataclass(frozen=True, slots=True)
class EarlyMediaHeard:
    """Something is to be heard though nobody has answered yet; the recording begins."""


@dataclass(frozen=True, slots=True)
class PickedUp:
    """The other side answered, so long after the INVITE was sent."""

    after_ms: float


@dataclass(frozen=True, slots=True)
class AgentHeard:
    """The agent began to speak; ``after_ms`` counts from the end of our line, or from the answer."""

    after_ms: float


@dataclass(frozen=True, slots=True)
class AgentSilent:
    """The agent stopped speaking."""

    spoke_ms: float


@dataclass(frozen=True, slots=True)
class LineSaid:
    """We began to say a line."""

    text: str
    is_interruption: bool


@dataclass(frozen=True, slots=True)
class AgentStopped:
    """The agent was interrupted: so long after our first audible sample came its last audible packet."""

    after_ms: float
    """0 where it was between two words, and did not come to the second."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over."""

    reason: str
    status: int | None
    duration_s: float


PhoneOutput: TypeAlias = (
    events.HangUp
    | events.Accept
    | events.Reject
    | events.SendRtcp
    | events.RecordOutput
    | events.PressKeys
    | JitterStats
    | Ringing
    | EarlyMediaHeard
    | PickedUp
    | AgentHeard
    | AgentSilent
    | LineSaid
    | AgentStopped
    | HungUp
)


class Phone(Talker[PhoneOutput]):
    """A :class:`~sipagent.machine.Machine`.

    :param leg: one that hands out frames as they were sent.
    :param lines: what to say, in order.
    :param random: for the noise under what is concealed.
    :param linger_s: how long to wait, after the last line and its answer, for the agent to hang up before we do.
    :param max_call_s: we hang up after that, whatever happens.
    :param listens: whether anybody hears and records, or the stopwatch alone.
    """

    def __init__(
        self,
        *,
        leg: SipLeg,
        lines: Sequence[Line],
        random: Random,
        now: float,
        linger_s: float = 4.0,
        max_call_s: float = 120.0,
        listens: bool = True,
    ) -> None:
        self._listens = listens
        self._leg = leg
        self._lines = deque(lines)
        self._linger_s = linger_s
        self._max_call_s = max_call_s
        self._dialled_at = now
        self._outputs: deque[PhoneOutput] = deque()
        self._format = leg.audio_format
        self._playout = Playout(self._format)
        self._earpiece = Earpiece(self._format, random=random)
        self._meter = Meter()
        self._record: Record | None = None
        self._answered_at: float | None = None
        self._is_over = False
        self._spoken_since: float | None = None
        self._audible_at: float | None = None
        self._said_at: float | None = None
        self._interrupted_at: float | None = None
        self._has_heard = False

    def offer(self) -> bytes:
        """Make the offer that goes with our INVITE."""
        return self._leg.offer(settles_format=True)

    # Driving

    def poll(self) -> PhoneOutput | None:
        """Take the next output."""
        return self._outputs.popleft() if self._outputs else None

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is due."""
        if self._is_over:
            return None
        due_at = min(self._leg.due_at, self._ends_at)
        return None if due_at == inf else due_at

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        if self._is_over:
            return
        self._leg.handle_timer(now=now)
        self._hear(self._leg.take_released(), now)
        self._take_rtcp()
        if now >= self._ends_at:
            self.hang_up(now=now)

    # The dialog

    def receive_progress(self, status: int, answer: bytes = b"", *, now: float) -> None:
        """Take a provisional response; with an answer, what is played from there until somebody answers is heard."""
        self._outputs.append(Ringing(status))
        if answer and self._answered_at is None:
            with suppress(RemoteProtocolError):
                self._leg.receive_answer(answer, now=now)
                self._tune(now)

    def receive_answer(self, answer: bytes, *, now: float) -> None:
        """Take the 200 with its answer."""
        try:
            if answer or not self._leg.is_agreed:
                self._leg.receive_answer(answer, now=now)
        except RemoteProtocolError:
            self.hang_up(now=now)
            return
        self._answered_at = now
        self._record = self._record or Record(self._format, began_at=now, emit=self._outputs.append)
        self._outputs.append(PickedUp((now - self._dialled_at) * 1000))
        self._tune(now)

    def receive_refresh(self, answer: bytes, *, now: float) -> None:
        """Take the answer to our last description, which was said again; a bad one changes nothing."""
        with suppress(RemoteProtocolError):
            self._leg.receive_refresh(answer, now=now)
            self._tune(now)

    def receive_reinvite(self, offer: bytes, *, now: float) -> None:
        """Take a re-INVITE."""
        try:
            self._outputs.append(events.Accept(self._leg.receive_offer(offer, now=now) if offer else self._leg.offer()))
            self._tune(now)
        except RemoteProtocolError as error:
            self._outputs.append(events.Reject(error.status, str(error)))

    def leg_ended(self, reason: str, status: int | None, *, now: float) -> None:
        """Take note that the dialog is over."""
        if self._is_over:
            return
        self._is_over = True
        if self._spoken_since is not None:
            self._note_silence()
        self._leg.close(now=now)
        self._take_rtcp()
        if self._record:
            self._record.close()
        if (stats := self._earpiece.stats) is not None:
            self._outputs.append(stats)
        self._outputs.append(HungUp(reason, status, now - self._answered_at if self._answered_at is not None else 0.0))

    def hang_up(self, *, now: float) -> None:
        """End the call."""
        if not self._is_over:
            self._outputs.append(events.HangUp())
            self.leg_ended("hung_up", None, now=now)

    # Media

    @property
    def remote(self) -> Address | None:
        """Where our packets go."""
        return self._leg.remote

    @property
    def frame_ms(self) -> int:
        """How often :meth:`next_packet` is to be called."""
        return self._leg.frame_ms

    def receive_rtp(self, data: bytes, source: Address, *, now: float) -> bool:
        """Take a packet; say whether a deadline may be near: none is as long as all is as usual."""
        frames = self._leg.receive_packet(data, source, now=now)
        self._hear(frames, now)
        self._take_rtcp()
        return len(frames) != 1 or bool(self._outputs)

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take an RTCP packet."""
        self._leg.receive_rtcp(data, source, now=now)

    def next_packet(self, *, now: float) -> bytes | None:
        """Hear what is due, and make the packet of this tick."""
        if self._is_over:
            return None
        self._listen(now)
        if self._answered_at is None:
            return None
        self._consider_line(now)
        was_idle = self._playout.is_idle
        frame = self._playout.next_frame(self._leg.frame_ms)
        if frame is not None and self._playout.is_idle:
            self._said_at = now
        heard = frame or self._leg.silence
        if self._record and self._listens:
            self._record.receive_caller(heard, now=now + self._leg.frame_ms / 1000)
        return self._leg.send_frame(heard, marker=was_idle and frame is not None, now=now)

    # Within

    @property
    def _ends_at(self) -> float:
        if self._answered_at is None:
            return inf
        ends_at = self._answered_at + self._max_call_s
        if self._lines or not self._playout.is_idle or self._spoken_since is not None:
            return ends_at
        quiet_since = max(self._answered_at, self._audible_at or 0.0, self._said_at or 0.0)
        return min(ends_at, quiet_since + self._linger_s)

    def _tune(self, now: float) -> None:
        """Be ready for what the peer may send by the last description, and hear what overtook the first."""
        self._earpiece.configure(self._leg.encodings)
        self._meter.configure(self._leg.encodings)
        for frame, at in self._leg.take_early(now=now):
            self._hear((frame,), at)

    def _hear(self, frames: Sequence[Frame], now: float) -> None:
        for frame in frames:
            if self._listens:
                self._earpiece.receive(frame, now=now)
            if self._answered_at is not None:
                self._time(frame, now)
            elif self._record is None and frame.payload:
                self._record = Record(self._format, began_at=now, emit=self._outputs.append)
                self._outputs.append(EarlyMediaHeard())

    def _listen(self, now: float) -> None:
        """Hear, as a person does, the next milliseconds."""
        if self._record is None or not self._listens:
            return
        self._record.receive_agent(self._earpiece.listen(self._leg.frame_ms, now=now), now=now)

    def _time(self, frame: Frame, now: float) -> None:
        if self._meter.level_dbfs(frame) >= AUDIBLE_DBFS:
            if self._spoken_since is None:
                self._spoken_since = now
                self._has_heard = True
                since = self._said_at if self._said_at is not None else self._answered_at
                self._outputs.append(AgentHeard((now - (since if since is not None else now)) * 1000))
            self._audible_at = now
        elif self._spoken_since is not None and self._audible_at is not None and now - self._audible_at >= PAUSE_S:
            self._note_silence()

    def _note_silence(self) -> None:
        if self._spoken_since is None or self._audible_at is None:
            return
        if self._interrupted_at is not None:
            self._outputs.append(AgentStopped(max(0.0, self._audible_at - self._interrupted_at) * 1000))
            self._interrupted_at = None
        self._outputs.append(AgentSilent((self._audible_at - self._spoken_since) * 1000))
        self._spoken_since = None

    def _consider_line(self, now: float) -> None:
        if not self._lines or not self._playout.is_idle or not self._is_moment(self._lines[0], now):
            return
        line = self._lines.popleft()
        is_interruption = line.after_speech_ms is not None
        self._outputs.append(LineSaid(line.text, is_interruption))
        self._has_heard = False
        if line.audio:
            self._playout.add(line.text, 0, line.audio, now=now)
            self._playout.finish(line.text, 0)
        if line.digits:
            if not self._leg.press(line.digits):
                self._outputs.append(events.PressKeys(line.digits))
            self._said_at = now
        if is_interruption:
            self._interrupted_at = now + _leading_silence_s(line.audio, self._format)

    def _is_moment(self, line: Line, now: float) -> bool:
        if line.after_speech_ms is not None:
            return self._spoken_since is not None and now - self._spoken_since >= line.after_speech_ms / 1000
        if not self._has_heard or self._spoken_since is not None or self._audible_at is None:
            return False
        return now - self._audible_at >= line.after_silence_ms / 1000

    def _take_rtcp(self) -> None:
        while (output := self._leg.poll()) is not None:
            if isinstance(output, events.SendRtcp):
                self._outputs.append(output)


def _leading_silence_s(audio: bytes, audio_format: AudioFormat) -> float:
    """How long the audio is silent before its first audible 5 ms."""
    step = 5 * audio_format.bytes_per_ms
    silent = 0
    while silent < len(audio) and level_dbfs(audio[silent : silent + step], audio_format) < AUDIBLE_DBFS:
        silent += step
    return min(silent, len(audio)) / audio_format.bytes_per_ms / 1000
