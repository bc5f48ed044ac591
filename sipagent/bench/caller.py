"""One caller's media: 50 packets a second to the program, and the arrival of each of its own by the kernel's clock.

The caller follows a script of ten seconds, over and over: silence on the line, then speech, usually over the agent's.
It looks for packets when it sends one, for the kernel has written down when they came; so the program's sending wakes
nobody, which on one machine would cost the program more than the sending.
"""

from array import array
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from sipagent.bench.mark import AGENT, AGENT_BEGINS, CALLER, MARK_BYTES, make_mark, read_age
from sipagent.bench.plan import HOST
from sipagent.bench.speech import FRAME_BYTES, frames, hiss, speak
from sipagent.bench.wire import Wire
from sipagent.rtp.packet import HEADER_LENGTH

SCRIPT_S = 10.0
SPEECH_S = 1.5
PITCH_HZ = 120.0

STRANGERS = 25
"""So many packets of another source running, and it is the agent's new one."""
STOPPED_S = 0.2
"""So long without agent, and it has stopped."""
PAUSED_S = 0.5
"""The same of an agent whose frames bear no marks, and which pauses between words."""
UNSTOPPED_S = 2.0
"""An agent that speaks on for so long over its caller was not stopped."""


LOUD = 0x30
"""A sample of a law's fourth segment or louder, -31 dBFS: by it an agent without marks is heard."""
_LOUDNESS = bytes(~code & 0x7F for code in range(0x100))


@dataclass(frozen=True, slots=True)
class Script:
    """What every caller sends, each from another point on: frames without the room for the mark."""

    frames: tuple[bytes, ...]
    onset: int
    """The index of the first frame of speech."""


def make_script() -> Script:
    """Write the script."""
    random = Random(2)
    quiet = frames(hiss(SCRIPT_S - SPEECH_S, random=random))
    speech = frames(speak(SPEECH_S, pitch_hz=PITCH_HZ, random=random))
    return Script(tuple(frame[MARK_BYTES:] for frame in quiet + speech), onset=len(quiet))


@dataclass(slots=True)
class CallerFigures:
    """What one caller counted; times are of the monotonic clock, delays in seconds."""

    sent: int = 0
    strange: int = 0
    """Datagrams that are no packet of G.711 as agreed on, or somebody else's."""
    sequence_numbers: "array[int]" = field(default_factory=lambda: array("H"))
    arrived_at: "array[float]" = field(default_factory=lambda: array("d"))
    first_delta: list[float] = field(default_factory=list)
    """From a response's first delta to its packet."""
    stop: list[float] = field(default_factory=list)
    """From the caller's first packet of speech to the last one of the agent's."""
    reply: list[float] = field(default_factory=list)
    """From the caller's last packet of speech, the agent being silent, to the agent's first."""
    unstopped: int = 0
    """Interruptions that the agent spoke through."""
    late: "array[float]" = field(default_factory=lambda: array("d"))
    """By how much our own packets missed their time."""


class Caller:
    """A wire, a script and a stopwatch.

    :param is_marked: whether the agent's frames bear marks; else it is heard by how loud they are.
    """

    def __init__(
        self, script: Script, *, first_frame: int, random: Random, host: str = HOST, is_marked: bool = True
    ) -> None:
        self._script = script
        self._position = first_frame
        self._is_marked = is_marked
        self._stopped_s = STOPPED_S if is_marked else PAUSED_S
        self.wire = Wire(random=random, host=host)
        self._source: bytes | None = None
        self._strangers = 0
        self._last = self._offset = 0
        self._audible_at = 0.0
        self._onset_at: float | None = None
        self._ended_at: float | None = None
        self.figures = CallerFigures()

    def begin(self) -> None:
        """Count from now on."""
        self._receive_all()
        self.figures = CallerFigures()

    def end(self) -> CallerFigures:
        """What was counted; it counts anew."""
        self._receive_all()
        figures, self.figures = self.figures, CallerFigures()
        return figures

    def on_beat(self, due_at: float) -> None:
        """Take what has arrived, and send the packet of this tick."""
        self._receive_all()
        now = monotonic()
        position = self._position
        if not self.wire.is_connected:
            return
        self.wire.send(self.wire.next_packet(make_mark(CALLER, now) + self._script.frames[position]))
        self._position = (position + 1) % len(self._script.frames)
        self.figures.sent += 1
        self.figures.late.append(now - due_at)
        self._note_speech(position, now)

    def _note_speech(self, position: int, now: float) -> None:
        """Over an agent who speaks, its stop is timed from our first frame on; else its answer from our last."""
        is_quiet = now - self._audible_at >= self._stopped_s
        if position == self._script.onset:
            self._ended_at = None
            if not is_quiet:
                self._onset_at = now
        if position == len(self._script.frames) - 1 and is_quiet:
            self._ended_at = now

    def _receive_all(self) -> None:
        for at, packet in self.wire.arrivals():
            self._receive(packet, at)

    def _receive(self, packet: bytes, at: float) -> None:
        figures = self.figures
        if len(packet) != HEADER_LENGTH + FRAME_BYTES or packet[1] & 0x7F or not self._is_agents(packet):
            figures.strange += 1
            return
        self._last = ((packet[2] << 8 | packet[3]) + self._offset) & 0xFFFF
        figures.sequence_numbers.append(self._last)
        figures.arrived_at.append(at)
        self._hear(packet[HEADER_LENGTH:], at)

    def _is_agents(self, packet: bytes) -> bool:
        """On a machine with others somebody may still send to who had this port before."""
        source = packet[8:HEADER_LENGTH]
        if self._source is None or source == self._source:
            self._strangers = 0
        else:
            self._strangers += 1
            if self._strangers < STRANGERS:
                return False
            self._offset = (self._last + 1 - (packet[2] << 8 | packet[3])) & 0xFFFF
        self._source = source
        return True

    def _hear(self, frame: bytes, at: float) -> None:
        begins = self._is_marked and frame[0] == AGENT_BEGINS
        if self._onset_at is not None:
            self._time_stop(self._onset_at, at, begins=begins)
        if begins:
            self.figures.first_delta.append(read_age(frame[:MARK_BYTES], at))
        if not (frame[0] in (AGENT, AGENT_BEGINS) if self._is_marked else is_loud(frame)):
            return
        if self._ended_at is not None and at > self._ended_at:
            self.figures.reply.append(at - self._ended_at)
            self._ended_at = None
        self._audible_at = at

    def _time_stop(self, onset_at: float, at: float, *, begins: bool) -> None:
        """Decide whether the agent has stopped; it has, too, when it begins something new."""
        if begins or at - self._audible_at > self._stopped_s:
            if self._audible_at > onset_at:  # else it had stopped by itself
                self.figures.stop.append(self._audible_at - onset_at)
        elif at - onset_at > UNSTOPPED_S:
            self.figures.unstopped += 1
        else:
            return
        self._onset_at = None


def is_loud(frame: bytes) -> bool:
    """Whether somebody speaks in a μ-law frame."""
    return max(frame.translate(_LOUDNESS)) >= LOUD
