"""Digits, gathered until the caller pauses: the model is told a number, not nine messages of one digit."""

from math import inf
from typing import Final

PAUSE_S: Final = 1.0
"""A pause that long ends a number."""

TERMINATOR: Final = "#"
"""The key that ends a number at once."""

MAX_DIGITS: Final = 64
"""The longest number there is any use for; a jammed key is handed on in pieces."""


class Keypad:
    """Digits in, numbers out."""

    def __init__(self) -> None:
        self._digits = ""
        self.due_at = inf
        """When the number is complete."""

    def press(self, digit: str, *, now: float) -> None:
        """Take a digit."""
        self._digits += digit
        ends = digit == TERMINATOR or len(self._digits) >= MAX_DIGITS
        self.due_at = now if ends else now + PAUSE_S

    def handle_timer(self, *, now: float) -> str | None:
        """Take the number if it is complete."""
        return self.take() if now >= self.due_at else None

    def take(self) -> str:
        """Take the digits, complete or not."""
        digits, self._digits, self.due_at = self._digits, "", inf
        return digits
