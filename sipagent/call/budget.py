"""What a call has cost: the tokens of its responses, what they are sold at, and what it may cost at most.

The model counts tokens and bills every response, whether it was heard or not, with the whole conversation before it as
its input; what of that was cached costs a fraction. A count that is none is taken for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

MILLION: Final = 1_000_000

WARN_AT: Final = 0.8
"""Of the budget: what is left is enough for a few sentences more."""

MAX_TOKENS: Final = 10_000_000
"""Of one response: a thousand times what a model can do. A greater count is a mistake, and would be a wrong sum."""

MAX_SECONDS: Final = 86_400.0
"""Billed at once; no session lasts so long."""


@dataclass(frozen=True, slots=True)
class Prices:
    """USD for a million tokens, and for a minute where a model is sold by time."""

    text_in: float
    text_cached: float
    text_out: float
    audio_in: float
    audio_cached: float
    audio_out: float
    minute: float = 0.0


PRICES: Final[Mapping[str, Prices]] = {
    "gpt-realtime-2.1": Prices(4.0, 0.4, 24.0, 32.0, 0.4, 64.0),
    "gpt-realtime-2.1-mini": Prices(0.6, 0.06, 2.4, 10.0, 0.3, 20.0),
    "gpt-live-1": Prices(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, minute=0.05),
}
"""OpenAI's list prices of November 2026."""


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """What a call may cost; by default whatever it does."""

    prices: Prices | None = None
    """Of the model; ``None`` where nobody knows them, and then money is no limit."""
    max_usd: float | None = None
    max_tokens: int | None = None
    """Of input and output together, as the model counts them."""


class Step(Enum):
    """What is done about it."""

    NOTHING = auto()
    WARN = auto()
    """Four fifths are spent."""
    END = auto()
    """All of it is."""


class Budget:
    """One call's account."""

    def __init__(self, settings: BudgetSettings) -> None:
        self._settings = settings
        self._step = Step.NOTHING
        self.tokens = 0
        """Of all responses so far."""
        self.usd: float | None = None if settings.prices is None else 0.0
        """What they cost; ``None`` when nobody knows."""

    def add(self, usage: Mapping[str, Any] | None) -> None:
        """Take the ``usage`` of a response that is over."""
        if usage is None:
            return
        self.tokens += _count(usage, "input_tokens") + _count(usage, "output_tokens")
        if self.usd is not None and self._settings.prices is not None:
            self.usd += cost_of(usage, self._settings.prices)

    def look(self) -> Step:
        """Return what is to be done now, each step once."""
        due = Step.END if self._spent >= 1.0 else Step.WARN if self._spent >= WARN_AT else Step.NOTHING
        if due is self._step or self._step is Step.END:
            return Step.NOTHING
        self._step = due
        return due

    @property
    def _spent(self) -> float:
        """How much of the tighter limit is used up, 1 being all of it."""
        max_usd, max_tokens = self._settings.max_usd, self._settings.max_tokens
        money = self.usd / max_usd if self.usd is not None and max_usd else 0.0
        return max(money, self.tokens / max_tokens if max_tokens else 0.0)


def cost_of(usage: Mapping[str, Any], prices: Prices) -> float:
    """Return what one response costs in USD.

    A server that does not say which tokens are which is believed to have meant text, the cheaper. Images are no part of
    a call.
    """
    given, made = _within(usage, "input_token_details"), _within(usage, "output_token_details")
    cached = _within(given, "cached_tokens_details") or {"text_tokens": given.get("cached_tokens")}
    audio_in, audio_out = _count(given, "audio_tokens"), _count(made, "audio_tokens")
    text_in = max(_count(usage, "input_tokens") - audio_in, 0)
    text_out = max(_count(usage, "output_tokens") - audio_out, 0)
    audio_cached = min(_count(cached, "audio_tokens"), audio_in)
    text_cached = min(_count(cached, "text_tokens"), text_in)
    seconds = usage.get("seconds")
    minutes = seconds / 60 if isinstance(seconds, float) and 0 <= seconds <= MAX_SECONDS else 0.0
    return minutes * prices.minute + (
        (text_in - text_cached) * prices.text_in
        + text_cached * prices.text_cached
        + text_out * prices.text_out
        + (audio_in - audio_cached) * prices.audio_in
        + audio_cached * prices.audio_cached
        + audio_out * prices.audio_out
    ) / MILLION


def _within(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return min(value, MAX_TOKENS) if type(value) is int and value > 0 else 0
