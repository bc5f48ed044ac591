"""What the caller said: audio goes out to the ear, words come back, and go on as a transcript when one is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sipagent.realtime.local.events import HearSpeech
from sipagent.realtime.local.item import Item, Part
from sipagent.realtime.local.usage import INPUT_MS_PER_TOKEN, count_text
from sipagent.realtime.local.wire import Channel

DEADLINE_S = 3.0
"""An ear that takes longer counts as deaf; a phrase takes it some 20 ms."""
MAX_PENDING = 32
"""Turns being heard at once in one session; of what comes beyond it nothing is understood."""
MAX_PHRASES = 200
"""Phrases given to the ear; a grammar should stay small to be told apart."""


@dataclass(frozen=True, slots=True)
class _Question:
    item: Item
    index: int
    deadline_at: float
    wants_transcript: bool

    @property
    def part(self) -> Part:
        return self.item.content[self.index]


class Hearing:
    """The questions the ear has yet to answer."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._questions: dict[int, _Question] = {}

    def listen(self, item: Item, phrases: Sequence[str], *, wants_transcript: bool, now: float) -> None:
        """Have every part of audio heard that came without a transcript."""
        for index, part in enumerate(item.content):
            if part.type != "input_audio" or part.memory or part.format is None or not part.audio:
                continue
            part.is_awaited = True
            question = _Question(item, index, now + DEADLINE_S, wants_transcript)
            if len(self._questions) >= MAX_PENDING:
                self._settle(question, None)
                continue
            request_id = self._channel.make_request_id()
            self._questions[request_id] = question
            heard = tuple(phrases[:MAX_PHRASES])
            self._channel.push(HearSpeech(request_id, bytes(part.audio), part.format, heard))

    def receive(self, request_id: int, text: str | None) -> None:
        """Take the ear's answer; ``None`` says that there is no ear, an empty text that it was none of the phrases."""
        question = self._questions.pop(request_id, None)
        if question is not None:
            self._settle(question, text)

    def get_timer(self) -> float | None:
        """When the first question lapses."""
        return min((question.deadline_at for question in self._questions.values()), default=None)

    def handle_timer(self, *, now: float) -> None:
        """Answer the lapsed ones with silence."""
        for request_id, question in list(self._questions.items()):
            if question.deadline_at <= now:
                self.receive(request_id, None)

    def _settle(self, question: _Question, text: str | None) -> None:
        part = question.part
        part.is_awaited = False
        part.memory = text or ""
        if not question.wants_transcript:
            return
        part.text = part.memory
        place = {"item_id": question.item.id, "content_index": question.index}
        kind = "conversation.item.input_audio_transcription"
        if part.memory:
            self._channel.send(f"{kind}.delta", **place, delta=part.memory)
        self._channel.send(f"{kind}.completed", **place, transcript=part.memory, usage=_count(part))


def _count(part: Part) -> dict[str, Any]:
    audio, text = -(-part.audio_ms // INPUT_MS_PER_TOKEN), count_text(part.memory)
    return {
        "type": "tokens",
        "total_tokens": audio + text,
        "input_tokens": audio,
        "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
        "output_tokens": text,
    }
