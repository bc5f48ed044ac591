"""The only exit of the agent's audio; so what the caller heard is counted, not estimated.

Audio comes in bursts, named by item and content part, and leaves in frames as long as the packets on the wire. A part's
ledger says how many bytes of it were received and how many were handed to the wire.
"""

from dataclasses import dataclass
from typing import Final

from sipagent.call.frames import FRAME_MS
from sipagent.formats import AudioFormat

MAX_QUEUED_MS: Final = 10 * 60 * 1000
"""Ten minutes of unplayed speech: no answer is so long, a runaway model is. What is beyond is dropped and counted."""

MAX_HELD_TICKS: Final = 2
"""How long a partial frame waits for its rest before it goes out filled up with silence."""


@dataclass(slots=True)
class Part:
    """The ledger of one content part."""

    item_id: str
    content_index: int
    received_at: float
    bytes_per_ms: int
    received: int = 0
    sent: int = 0
    is_finished: bool = False
    was_queued: bool = False
    """It came while something else was being played, and had to wait for that."""

    @property
    def heard_ms(self) -> int:
        """What was put on the wire, rounded down, so that it never exceeds what the model sent."""
        return self.sent // self.bytes_per_ms

    @property
    def received_ms(self) -> int:
        """What the model sent."""
        return self.received // self.bytes_per_ms


class _Piece:
    __slots__ = ("audio", "left", "offset", "part")

    def __init__(self, part: Part, audio: bytes) -> None:
        self.part = part
        self.audio = audio
        self.offset = 0
        self.left = len(audio)


class Playout:
    """Audio in by :meth:`add`, frames out by :meth:`next_frame`.

    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._bytes_per_ms = audio_format.bytes_per_ms
        self._pieces: list[_Piece] = []
        self._parts: dict[tuple[str, int], Part] = {}
        self._started: list[Part] = []
        self._done: list[Part] = []
        self._queued = 0
        self._held_ticks = 0
        self.dropped = 0
        """Bytes refused because the queue was full."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be played."""
        return not self._pieces

    @property
    def queued_ms(self) -> int:
        """How much waits to be played."""
        return self._queued // self._bytes_per_ms

    def add(self, item_id: str, content_index: int, audio: bytes, *, now: float) -> None:
        """Queue the next bytes of a content part."""
        if not audio:
            return
        if self._queued + len(audio) > MAX_QUEUED_MS * self._bytes_per_ms:
            self.dropped += len(audio)
            return
        key = (item_id, content_index)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = Part(
                item_id, content_index, now, self._bytes_per_ms, was_queued=bool(self._pieces)
            )
        part.received += len(audio)
        self._queued += len(audio)
        self._pieces.append(_Piece(part, audio))

    def finish(self, item_id: str, content_index: int) -> None:
        """Take note that the model has sent all of a part."""
        part = self._parts.get((item_id, content_index))
        if part is not None:
            part.is_finished = True
            self._retire_if_heard(part)

    def finish_all(self) -> None:
        """Take note that the model will send no more of any part."""
        for part in list(self._parts.values()):
            self.finish(part.item_id, part.content_index)

    def next_frame(self, ms: int = FRAME_MS) -> bytes | None:
        """Take the frame that goes on the wire now, entered in the ledger; ``None`` when there is nothing to say."""
        if not self._pieces:
            return None
        size = ms * self._bytes_per_ms
        if self._queued < size and self._awaits_rest():
            return None
        self._held_ticks = 0
        piece = self._pieces[0]
        if piece.left > size:
            return self._take(piece, size)
        return self._gather(size)

    @property
    def is_within(self) -> bool:
        """Whether what comes next goes on with a part of which the caller has heard the beginning."""
        return bool(self._pieces) and self._pieces[0].part.sent > 0

    @property
    def has_begun(self) -> bool:
        """Whether the caller has heard the beginning of something, and not its end."""
        return any(part.sent for part in self._parts.values())

    def peek(self, ms: int) -> bytes:
        """Return what would be played next, at most so much; nothing is entered in the ledger."""
        size, audio = ms * self._bytes_per_ms, b""
        for piece in self._pieces:
            audio += piece.audio[piece.offset : piece.offset + size - len(audio)]
            if len(audio) == size:
                break
        return audio

    def catch_up(self, kept_ms: int) -> int:
        """Leave out the oldest of what waits, all but so much; return how many ms. It counts as never received."""
        excess = left_out = max(0, self._queued - kept_ms * self._bytes_per_ms)
        while excess:
            piece = self._pieces[0]
            size = min(piece.left, excess)
            piece.offset += size
            piece.left -= size
            piece.part.received -= size
            self._queued -= size
            excess -= size
            if not piece.left:
                self._pieces.pop(0)
                self._retire_if_heard(piece.part)
        return left_out // self._bytes_per_ms

    def clear(self) -> list[Part]:
        """Forget what waits; return the ledger of every part that the caller did not hear to its end.

        A part that the model is still sending counts as unheard even when all of it so far was played.
        """
        unheard = [part for part in self._parts.values() if not part.is_finished or part.sent < part.received]
        self._pieces.clear()
        self._parts.clear()
        self._queued = 0
        self._held_ticks = 0
        return unheard

    @property
    def has_news(self) -> bool:
        """Whether a part has begun, or come to its end, that nobody took yet."""
        return bool(self._started or self._done)

    def pop_started(self) -> Part | None:
        """Take a part whose first byte went on the wire since the last call."""
        return self._started.pop(0) if self._started else None

    def pop_heard(self) -> Part | None:
        """Take a part that was played to its end since the last call."""
        return self._done.pop(0) if self._done else None

    def _awaits_rest(self) -> bool:
        """Whether a frame not yet full is better sent a tick later: the rest of it is still to come."""
        if self._pieces[-1].part.is_finished or self._held_ticks >= MAX_HELD_TICKS:
            return False
        self._held_ticks += 1
        return True

    def _gather(self, size: int) -> bytes:
        """Make a frame of the ends and beginnings of several pieces, filled up with silence."""
        frame = b""
        while self._pieces and len(frame) < size:
            piece = self._pieces[0]
            frame += self._take(piece, min(piece.left, size - len(frame)))
            if not piece.left:
                self._pieces.pop(0)
                self._retire_if_heard(piece.part)
        missing = size - len(frame)
        return frame + self._format.silence * (missing // self._format.sample_bytes) if missing else frame

    def _take(self, piece: _Piece, size: int) -> bytes:
        part = piece.part
        if not part.sent:
            self._started.append(part)
        taken = piece.audio[piece.offset : piece.offset + size]
        piece.offset += size
        piece.left -= size
        part.sent += size
        self._queued -= size
        return taken

    def _retire_if_heard(self, part: Part) -> None:
        """Close the ledger of a part that is finished and played; an interruption no longer concerns it."""
        if part.is_finished and part.sent == part.received:
            self._done.append(part)
            self._parts.pop((part.item_id, part.content_index), None)
