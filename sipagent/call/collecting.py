"""Keys for the model's tools: those that it presses, and those that it waits for the caller to press.

A number is complete when it is long enough, when its terminator is pressed, or when the caller pauses for too long.
The time runs from the end of what the agent says, for the question comes before the keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

from sipagent.agent.builtin import COLLECT_DIGITS, DIGITS_MAX, SEND_DIGITS
from sipagent.agent.tools import ToolArgumentError
from sipagent.errors import LocalProtocolError

Press: TypeAlias = Callable[[str], None]
"""Presses keys toward the peer.

:raises LocalProtocolError: when too many are waiting already.
"""

SEPARATORS = str.maketrans("", "", " -")
"""What models write into numbers."""


@dataclass(slots=True)
class _Number:
    """What is waited for."""

    function_call_id: str
    max_digits: int
    terminator: str
    timeout_s: float
    digits: str = ""
    ended_by: Literal["", "length", "terminator"] = ""


class Collecting:
    """What becomes of calls of the tools ``send_digits`` and ``collect_digits``.

    :param names: of those of the two that the agent has.
    """

    def __init__(self, names: frozenset[str], *, press: Press) -> None:
        self.names = names
        """Of those of the two that the agent has."""
        self._press = press
        self._number: _Number | None = None
        self.due_at = inf
        """When :meth:`handle_timer` is due."""

    def has(self, name: str) -> bool:
        """Whether a tool is one of these."""
        return name in self.names

    def start(
        self, function_call_id: str, name: str, arguments: str, *, pressed: str, queued_ms: int, now: float
    ) -> str | None:
        """Take a call of a tool; return its output, or ``None`` when that comes later.

        :param pressed: keys that the caller pressed just before, in expectation of the question.
        :param queued_ms: how long the agent will still be heard.
        """
        try:
            if name == SEND_DIGITS.name:
                return self._send(arguments)
            return self._collect(function_call_id, arguments, pressed, now + queued_ms / 1000)
        except ToolArgumentError as error:
            return str(error)

    def take(self, digit: str, *, now: float) -> bool:
        """Take a key of the caller's, if a number is waited for; say whether it was."""
        number = self._number
        if number is None or number.ended_by:
            return False
        if digit == number.terminator:
            number.ended_by = "terminator"
        else:
            number.digits += digit
            number.ended_by = "length" if len(number.digits) >= number.max_digits else ""
        self.due_at = now if number.ended_by else now + number.timeout_s
        return True

    def handle_timer(self, *, queued_ms: int, now: float) -> tuple[str, str] | None:
        """Return the function-call id and the output of the call whose number is complete, if one is."""
        number = self._number
        if number is None or now < self.due_at:
            return None
        if queued_ms and not number.ended_by:
            self.due_at = now + queued_ms / 1000 + number.timeout_s
            return None
        self._number, self.due_at = None, inf
        return number.function_call_id, _say(number)

    def _send(self, arguments: str) -> str:
        digits = SEND_DIGITS.parse_arguments(arguments)["digits"].upper().translate(SEPARATORS)
        if not digits:
            return "There is no key in that."
        try:
            self._press(digits)
        except LocalProtocolError as error:
            return f"The keys could not be pressed: {error}."
        return str(SEND_DIGITS(digits))

    def _collect(self, function_call_id: str, arguments: str, pressed: str, heard_at: float) -> str | None:
        values = COLLECT_DIGITS.parse_arguments(arguments)
        if self._number is not None:
            return "A number is being waited for already."
        self._number = number = _Number(
            function_call_id,
            values.get("max_digits", DIGITS_MAX),
            values.get("terminator", "#"),
            values.get("timeout_s", 10.0),
        )
        self.due_at = heard_at + number.timeout_s
        for digit in pressed:
            self.take(digit, now=heard_at)
        return None


def _say(number: _Number) -> str:
    """Tell the model what the caller pressed."""
    if number.digits:
        return number.digits
    if number.ended_by:
        return f"Nothing: the caller pressed {number.terminator} at once."
    return f"Nothing: the caller pressed no key for {number.timeout_s:g} s."
