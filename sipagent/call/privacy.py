"""What of a call is told to logs and followers: facts with less in them than the model was given.

Texts are redacted (``agent/redaction``). While the caller enters a number that is a secret, the recording pauses and
nothing of what is said is told; from then on all numbers are taken out, for the agent may read it back.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from sipagent.agent.builtin import COLLECT_DIGITS, SECRET
from sipagent.agent.redaction import Redaction
from sipagent.call import events
from sipagent.call.record import Record

PAUSED: Final = "[paused]"
"""In place of what was said while a secret was entered."""
DIGIT: Final = "[digit]"
"""In place of a key."""

Emit = Callable[[events.Output], None]


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """What is nobody's business."""

    redact: tuple[str, ...] = ()
    """As :class:`~sipagent.agent.redaction.Redaction` takes it."""
    pci_pause: bool = False
    """Whether every number that the caller is asked to enter is a secret; else the model says which is."""


class Privacy:
    """One call's.

    :param emit: takes commands and facts.
    """

    def __init__(self, settings: PrivacySettings, *, emit: Emit) -> None:
        self._emit = emit
        self._rules = settings.redact
        self._redaction = Redaction(settings.redact)
        self._is_strict = settings.pci_pause
        self._collecting = ""
        """The call of the tool that waits for a secret; empty for none."""
        self._paused: Record | None = None
        """The record that pauses for it."""

    def tell(self, output: events.Output) -> None:
        """Pass on a command as it is, and a fact as others may know it."""
        match output:
            case events.CallerSaid() | events.AgentSaid() | events.Backchanneled() | events.NoteTaken():
                output = replace(output, text=self._redact(output.text))
            case events.MessageTaken(name, number, text):
                output = events.MessageTaken(self._redact(name), self._redact(number), self._redact(text))
            case events.DigitPressed() if self._hides_keys:
                output = events.DigitPressed(DIGIT)
            case events.ToolCalled():
                output = self._on_tool_called(output)
            case events.ToolReturned():
                output = self._on_tool_returned(output)
            case events.AgentChanged():
                output = replace(output, reason=self._redact(output.reason))
            case _:
                pass
        self._emit(output)

    def follow(self, record: Record | None, *, now: float) -> None:
        """Let the recording pause as long as a secret is entered, and go on if it was this that made it pause."""
        if self._collecting:
            if record is not None and not record.is_paused:
                record.pause(now=now)
                self._paused = record
        elif self._paused is not None:
            if self._paused is record:
                record.resume(now=now)
            self._paused = None

    @property
    def _hides_keys(self) -> bool:
        """Whether keys are not told: one that comes before its question may be the secret's first."""
        return self._is_strict or bool(self._collecting) or "digits" in self._rules or "card" in self._rules

    def _redact(self, text: str) -> str:
        return PAUSED if self._collecting and text else self._redaction.redact(text)

    def _on_tool_called(self, called: events.ToolCalled) -> events.ToolCalled:
        if called.name == COLLECT_DIGITS.name and (self._is_strict or _is_secret(called.arguments)):
            self._collecting = called.function_call_id
            self._rules = tuple(dict.fromkeys((*self._rules, "digits")))
            self._redaction = Redaction(self._rules)
            return called
        return replace(called, arguments=self._redaction.redact_json(called.arguments))

    def _on_tool_returned(self, returned: events.ToolReturned) -> events.ToolReturned:
        if self._collecting and returned.function_call_id == self._collecting:
            self._collecting = ""
            return replace(returned, output=DIGIT)
        return replace(returned, output=self._redaction.redact_json(str(returned.output)))


def _is_secret(arguments: str) -> bool:
    """Whether the model says that the number is a secret."""
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return isinstance(given, dict) and given.get(SECRET) is True
