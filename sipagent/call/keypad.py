"""Digits, gathered until the caller pauses: the model is told a number, not nine messages of one digit."""

PAUSE_S = 1.0
"""A pause that long ends a number."""

TERMINATOR = "#"
"""The key that ends a number at once."""

MAX_DIGITS = 64
"""The longest number there is any use for; a jammed key is handed on in pieces."""


class Keypad:
    """Digits in, numbers out."""

    def __init__(self) -> None:
        self._digits = ""
        self._due_at: float | None = None

    def press(self, digit: str, *, now: float) -> None:
        """Take a digit."""
        self._digits += digit
        ends = digit == TERMINATOR or len(self._digits) >= MAX_DIGITS
        self._due_at = now if ends else now + PAUSE_S

    def get_timer(self) -> float | None:
        """When the number is complete."""
        return self._due_at

    def handle_timer(self, *, now: float) -> str | None:
        """Take the number if it is complete."""
        if self._due_at is None or now < self._due_at:
            return None
        digits, self._digits, self._due_at = self._digits, "", None
        return digits
