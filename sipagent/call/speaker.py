"""The mouth of a call: the model's audio on its way to the caller, and the stop in mid-word.

What is stopped is told to the model to the millisecond that was put on the wire, for every item not heard to its end.
A pause is no stop: the model hears nothing of it, and the next word is the one that was due.
A stop, and a start in mid-word, is smoothed over 5 ms, for a step in the wave is a click. The remnant that fades after
a stop says nothing, and does not count as heard.
"""

from typing import Final

from sipagent.audio.fades import FADE_MS, fade_in, fade_out
from sipagent.audio.linear import from_linear, to_linear
from sipagent.call.events import AgentSaid, AgentStarted, Truncated
from sipagent.call.frames import FRAME_MS
from sipagent.call.model_link import ModelLink
from sipagent.call.playout import Part, Playout
from sipagent.call.transcript import Transcript
from sipagent.formats import AudioFormat

ECHO_MS: Final = 300
"""So long after the agent's last audible frame its echo may still come back, through two networks and a room."""

STALE_MS: Final = 200
"""More than this waits only after the network was late; it is old news to whoever speaks now."""


class Speaker:
    """Playout, transcript and the truncation that keeps the model's memory true to what was heard."""

    def __init__(self, *, session: ModelLink, audio_format: AudioFormat) -> None:
        self._session = session
        self._format = audio_format
        self._playout = Playout(audio_format)
        self._remnant = b""
        self._transcript = Transcript()
        self._was_talking = False
        self._protected: set[tuple[str, int]] = set()
        self.protects = False
        """Whether what the model is about to say may not be interrupted."""
        self._echo_ms = 0
        self.is_paused = False
        """Whether what there is to say waits for the caller."""
        self.may_echo = False
        """Whether the agent's voice is on the line, or may still come back from it."""

    @property
    def is_speaking(self) -> bool:
        """Whether audio waits to be played."""
        return not self._playout.is_idle

    @property
    def queued_ms(self) -> int:
        """How much audio waits to be played."""
        return self._playout.queued_ms

    @property
    def has_begun(self) -> bool:
        """Whether the caller has heard the beginning of something, and not its end."""
        return self._playout.has_begun

    @property
    def is_protected(self) -> bool:
        """Whether something that nobody may interrupt is being said, or waits."""
        return self.protects or bool(self._protected)

    def receive_audio(self, item_id: str, content_index: int, audio: bytes, *, now: float) -> None:
        """Take audio from the model; what it says while :attr:`protects` stands is protected until it was heard."""
        self._playout.add(item_id, content_index, audio, now=now)
        if self.protects:
            self._protected.add((item_id, content_index))

    def finish_audio(self, item_id: str, content_index: int) -> None:
        """Take note that the model has sent all of a part."""
        self._playout.finish(item_id, content_index)

    def finish_all(self) -> None:
        """Take note that the response is over: the model sends no more of any part, whether it said so or not."""
        self._playout.finish_all()

    def receive_text(self, item_id: str, content_index: int, text: str, *, is_final: bool) -> None:
        """Take the words of a part."""
        self._transcript.receive_text(item_id, content_index, text, is_final=is_final)

    def next_frame(self, ms: int = FRAME_MS) -> tuple[bytes | None, bool]:
        """Take the frame of this tick, ``None`` for silence, and whether it begins a talkspurt."""
        was_talking = self._was_talking
        is_within = not was_talking and self._playout.is_within
        frame = None if self.is_paused or self._remnant else self._playout.next_frame(ms)
        self._was_talking = frame is not None
        if frame is None:
            self._echo_ms -= ms
            self.may_echo = self._echo_ms > 0
            return self._take_remnant(ms), False
        self._echo_ms = ECHO_MS
        self.may_echo = True
        if was_talking:
            return frame, False
        return self._raise(frame) if is_within else frame, True

    def pause(self) -> None:
        """Fall silent now, in mid-word; nothing is lost."""
        self.is_paused = True
        self._leave_remnant()

    def resume(self) -> None:
        """Go on where the pause was."""
        self.is_paused = False

    def catch_up(self) -> int:
        """Leave out what a model that keeps to real time said a while ago; return how many ms."""
        return self._playout.catch_up(STALE_MS)

    def pop_fact(self) -> AgentStarted | AgentSaid | None:
        """Take what is new since the last frame: an item began, or was heard to its end."""
        if not self._playout.has_news:
            return None
        part = self._playout.pop_started()
        if part is not None:
            return AgentStarted(part.item_id, part.received_at, part.was_queued)
        while (part := self._playout.pop_heard()) is not None:
            self._protected.discard((part.item_id, part.content_index))
            said = self._transcript.close(part, is_cut=False)
            if said is not None:
                return said
        return None

    def interrupt(self, *, now: float) -> list[Truncated | AgentSaid]:
        """Fall silent now; tell the model what was heard, and return the same as facts."""
        self.is_paused = self.protects = False
        self._protected.clear()
        self._session.cancel_response(now=now)
        return self.give_way()

    def give_way(self) -> list[Truncated | AgentSaid]:
        """The same, but let the model go on: what it says next takes the place of what waits."""
        self._leave_remnant()
        facts: list[Truncated | AgentSaid] = []
        for part in self._playout.clear():
            facts += self._cut(part)
        return facts

    def close(self) -> list[AgentSaid]:
        """Stop for good; return what was heard of what was being said."""
        said = (self._transcript.close(part, is_cut=True) for part in self._playout.clear())
        return [fact for fact in said if fact is not None]

    def _leave_remnant(self) -> None:
        if self._was_talking:
            self._remnant = self._fade(self._playout.peek(FADE_MS))

    def _fade(self, audio: bytes) -> bytes:
        faded = fade_out(to_linear(audio, self._format), rate=self._format.rate, duration_ms=FADE_MS)
        return from_linear(faded, self._format)

    def _raise(self, frame: bytes) -> bytes:
        size = FADE_MS * self._format.bytes_per_ms
        begin = to_linear(frame[:size], self._format)
        raised = fade_in(begin, rate=self._format.rate, duration_ms=FADE_MS)
        return from_linear(raised, self._format) + frame[size:]

    def _take_remnant(self, ms: int) -> bytes | None:
        """Return, once, what fades after a stop, made a frame with silence."""
        if not self._remnant:
            return None
        remnant, self._remnant = self._remnant, b""
        missing = ms * self._format.bytes_per_ms - len(remnant)
        return remnant + self._format.silence * (missing // self._format.sample_bytes)

    def _cut(self, part: Part) -> list[Truncated | AgentSaid]:
        facts: list[Truncated | AgentSaid] = []
        if self._session.truncate(part.item_id, part.content_index, part.heard_ms):
            facts.append(Truncated(part.item_id, part.content_index, part.heard_ms, part.received_ms))
        said = self._transcript.close(part, is_cut=True)
        return facts if said is None else [*facts, said]
