"""Tokens, counted as the API bills them: audio by time, text by length, the whole conversation anew each response."""

from collections.abc import Iterable
from dataclasses import dataclass

from sipagent.realtime.local.item import Item
from sipagent.realtime.local.wire import Json

INPUT_MS_PER_TOKEN = 100
OUTPUT_MS_PER_TOKEN = 50
CHARACTERS_PER_TOKEN = 4
"""A usual figure for English text."""
TEXT_FIELDS = ("name", "arguments", "output")
LIMITS = {"requests": 5000, "tokens": 400_000}
"""A minute's allowance, of the order the API grants; it is reported and not enforced."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A number of text tokens and of audio tokens."""

    text: int = 0
    audio: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.text + self.audio

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.text + other.text, self.audio + other.audio)


def count_text(text: str) -> int:
    """Tokens of a text, a started one counted whole."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def count_item(item: Item) -> tuple[int, int]:
    """Text and audio tokens of one item: audio by its length, our own with its transcript; the rest by its text."""
    text = sum(count_text(value) for name in TEXT_FIELDS if (value := item.fields.get(name)))
    audio = 0
    for part in item.content:
        if part.format is None:
            text += count_text(part.memory)
        else:
            spoken = item.role == "assistant"
            audio += -(-part.audio_ms // (OUTPUT_MS_PER_TOKEN if spoken else INPUT_MS_PER_TOKEN))
            text += count_text(part.memory) if spoken else 0
    return text, audio


def count_items(items: Iterable[Item]) -> Tokens:
    """Tokens of several items."""
    text = audio = 0
    for item in items:  # all of the conversation, before each response: hence no object an item
        item_text, item_audio = count_item(item)
        text += item_text
        audio += item_audio
    return Tokens(text, audio)


def report(given: Tokens, cached: Tokens, made: Tokens) -> Json:
    """``response.usage``; of ``given``, ``cached`` was in an earlier response too."""
    cached_text, cached_audio = min(cached.text, given.text), min(cached.audio, given.audio)
    return {
        "total_tokens": given.total + made.total,
        "input_tokens": given.total,
        "output_tokens": made.total,
        "input_token_details": {
            "text_tokens": given.text,
            "audio_tokens": given.audio,
            "image_tokens": 0,
            "cached_tokens": cached_text + cached_audio,
            "cached_tokens_details": {"text_tokens": cached_text, "audio_tokens": cached_audio, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": made.text, "audio_tokens": made.audio},
    }


class RateLimits:
    """What ``rate_limits.updated`` reports: a minute's allowance of tokens and requests, refilled steadily."""

    def __init__(self) -> None:
        self._left = {name: float(limit) for name, limit in LIMITS.items()}
        self._at: float | None = None

    def spend(self, tokens: int, *, now: float) -> list[Json]:
        """Take one request of so many tokens from the allowance, and show what is left; never less than nothing."""
        elapsed = now - self._at if self._at is not None else 0.0
        self._at = now
        shown: list[Json] = []
        for name, cost in (("requests", 1), ("tokens", tokens)):
            limit = LIMITS[name]
            left = max(0.0, min(limit, self._left[name] + limit * elapsed / 60) - cost)
            self._left[name] = left
            reset = round((limit - left) * 60 / limit, 3)
            shown.append({"name": name, "limit": limit, "remaining": int(left), "reset_seconds": reset})
        return shown
