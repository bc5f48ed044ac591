"""What the embedded Live server says: texts in, frames of an unbroken stream out, with the words that begin in each."""

from collections import deque

from sipagent.formats import AudioFormat
from sipagent.realtime.local.events import RenderSpeech
from sipagent.realtime.local.speech import Piece, Speech
from sipagent.realtime.local.wire import Channel

MAX_TEXTS = 16
"""Texts that wait to be said; of a model that has more to say the rest is not said."""


class LiveVoice:
    """One mouth: a text after the other, until it is stopped."""

    def __init__(self, channel: Channel, audio_format: AudioFormat, voice: str) -> None:
        self._channel = channel
        self._format = audio_format
        self._voice = voice
        self._texts: deque[Speech] = deque()
        self._requests: dict[int, tuple[Speech, int]] = {}

    @property
    def is_speaking(self) -> bool:
        """Whether anything is being said, or about to be."""
        return bool(self._texts)

    def say(self, text: str) -> None:
        """Say it, after what is to be said already."""
        if text.strip() and len(self._texts) < MAX_TEXTS:
            self._texts.append(Speech(text, self._format))
            self._prepare()

    def stop(self) -> None:
        """Say no more."""
        self._texts.clear()
        self._requests.clear()

    def receive_speech(self, request_id: int, audio: bytes) -> None:
        """Take the rendering of a sentence; one that is not awaited any more is dropped."""
        asked = self._requests.pop(request_id, None)
        if asked is not None:
            speech, index = asked
            speech.receive(index, audio)
            self._prepare()

    def take(self, ms: int) -> Piece:
        """The next frame: what is being said, or silence."""
        size = ms * self._format.bytes_per_ms
        piece = self._texts[0].take(size) if self._texts else None
        if piece is None:
            return Piece(self._format.silence_of(ms), ())
        if self._texts[0].is_finished:
            self._texts.popleft()
        self._prepare()
        missing = (size - len(piece.audio)) // self._format.sample_bytes
        return Piece(piece.audio + self._format.silence * missing, piece.words)

    def _prepare(self) -> None:
        """Have the next sentences rendered."""
        while self._texts and (sentence := self._texts[0].next_sentence()) is not None:
            request_id = self._channel.make_request_id()
            self._requests[request_id] = (self._texts[0], sentence[0])
            self._channel.push(RenderSpeech(request_id, sentence[1], self._voice, 1.0, self._format))
