"""What comes from the caller, sounds and keys, on its way from the leg to the conversation.

A key comes in up to three ways, in RTP, in an INFO and in the sound itself, and counts once. Before the answer and on
hold nothing is meant for the agent.
"""

from collections.abc import Callable, Sequence

from sipagent.call import events
from sipagent.call.audible_keys import AudibleKeys
from sipagent.call.conversation import Conversation
from sipagent.call.doubles import Doubles
from sipagent.call.recording import Recording
from sipagent.call.sip_leg import SipLeg
from sipagent.rtp.session import Frame


class Hearing:
    """One call's: it hears from :meth:`begin` to :meth:`end`.

    :param recording: keeps what the caller says, if it is on.
    :param emit: takes commands.
    """

    def __init__(self, leg: SipLeg, *, recording: Recording, emit: Callable[[events.Output], None]) -> None:
        self._leg = leg
        self._recording = recording
        self._emit = emit
        self._conversation: Conversation | None = None
        self._audible_keys: AudibleKeys | None = None
        self._doubles = Doubles()

        self.is_muted = False
        """Whether the agent does not hear the caller; a recording does, and keys count."""

    def begin(self, conversation: Conversation, *, hears_keys: bool) -> None:
        """Hear from now on.

        :param hears_keys: whether keys are looked for in the sound, too.
        """
        self._conversation = conversation
        self._audible_keys = AudibleKeys(self._leg.audio_format) if hears_keys else None

    def end(self) -> None:
        """Hear nothing any more."""
        self._conversation = None

    def receive(self, frames: Sequence[Frame], *, now: float) -> None:
        """Take frames of the caller's, in order."""
        if not self._leg.is_held:
            for frame in frames:
                self._listen(frame, now)

    def hear(self, audio: bytes, *, now: float) -> None:
        """Take the audio of a packet that is as nearly all are. Hot path."""
        conversation = self._conversation
        if conversation is None or self._leg.is_held:
            return
        if self.is_muted or self._audible_keys is not None or self._recording.record is not None:
            self._listen(Frame(audio, 0, 0, False, len(audio) // self._leg.audio_format.sample_bytes), now)
        else:
            conversation.hear(audio, now=now)

    def receive_early(self, *, now: float) -> None:
        """Hear what whoever picked up said before word of it came: the "Hello?" that overtook the 200."""
        self.receive([frame for frame, _ in self._leg.take_early(now=now)], now=now)

    def take_keys(self, *, now: float) -> None:
        """Take what the leg has; a key pressed before the answer or on hold is meant for nobody."""
        while (output := self._leg.poll()) is not None:
            if isinstance(output, events.SendRtcp):
                self._emit(output)
            else:
                self.press("rtp", output.digit, now=now, held_s=output.duration_ms / 1000)

    def press(self, way: str, digit: str, *, now: float, held_s: float = 0.0) -> None:
        """Take a key that came by one of the ways."""
        if self._conversation is None or self._leg.is_held:
            return
        if not self._doubles.is_double(digit, way, now=now, held_s=held_s):
            self._conversation.receive_digit(digit, now=now)

    def _listen(self, frame: Frame, now: float) -> None:
        if self._conversation is None:
            return
        record = self._recording.record
        if record is not None and frame.payload:
            record.receive_caller(frame.payload, now=now)
        if self._audible_keys is not None:
            frame, keys = self._audible_keys.receive(frame)
            for key in keys:
                self.press("audio", key, now=now)
        if self.is_muted:
            frame = frame._replace(payload=b"", lost=False)
        if frame.payload and not frame.lost:
            self._conversation.hear(frame.payload, now=now)
        else:
            self._conversation.receive_gap(frame, now=now)
