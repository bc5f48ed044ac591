"""What of a call is told to logs and followers: facts with less in them than the model was given.

Texts are redacted (``agent/redaction``). While the caller enters a number that is a secret, the recording pauses and
nothing of what is said is told; from then on all numbers are taken out, for the agent may read it back.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sipagent.agent.builtin import COLLECT_DIGITS, SECRET
from sipagent.agent.number_words import LanguageTag
from sipagent.agent.redaction import Redaction
from sipagent.call import events
from sipagent.call.recording import Recording

PAUSED: Final = "[paused]"
"""In place of what was said while a secret was entered."""
DIGIT: Final = "[digit]"
"""In place of a key."""

TOLD: Final = frozenset(
    (
        events.CallerSaid,
        events.AgentSaid,
        events.Backchanneled,
        events.NoteTaken,
        events.MessageTaken,
        events.DigitPressed,
        events.ToolCalled,
        events.ToolReturned,
        events.AgentChanged,
    )
)
"""The facts with words or keys in them."""


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """What is nobody's business."""

    redact: tuple[str, ...] = ()
    """As :class:`~sipagent.agent.redaction.Redaction` takes it."""
    languages: tuple[LanguageTag, ...] = ("en",)
    """In which numbers may be spoken."""
    pci_pause: bool = False
    """Whether every number that the caller is asked to enter is a secret; else the model says which is."""


class Privacy:
    """One call's.

    :param emit: takes commands and facts.
    """

    def __init__(self, settings: PrivacySettings, *, emit: Callable[[events.Output], None]) -> None:
        self._emit = emit
        self._rules = settings.redact
        self._languages = settings.languages
        self._redaction = Redaction(settings.redact, settings.languages)
        self._is_strict = settings.pci_pause
        self._collecting: set[str] = set()
        """The calls of the tool that wait for a secret: one, and those that are about to be told so."""

    def tell(self, output: events.Output) -> None:
        """Pass on a command as it is, and a fact as others may know it. Hot path, for commands."""
        self._emit(self._redacted(output) if type(output) in TOLD else output)

    def follow(self, recording: Recording, *, now: float) -> None:
        """Let the recording pause as long as a secret is entered."""
        recording.withhold(bool(self._collecting), now=now)

    def _redacted(self, output: events.Output) -> events.Output:
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
        return output

    @property
    def _hides_keys(self) -> bool:
        """Whether keys are not told: one that comes before its question may be the secret's first."""
        return self._is_strict or bool(self._collecting) or "digits" in self._rules or "card" in self._rules

    def _redact(self, text: str) -> str:
        return PAUSED if self._collecting and text else self._redaction.redact(text)

    def _on_tool_called(self, called: events.ToolCalled) -> events.ToolCalled:
        if called.name == COLLECT_DIGITS.name and (self._is_strict or _is_secret(called.arguments)):
            self._collecting.add(called.function_call_id)
            self._rules = tuple(dict.fromkeys((*self._rules, "digits")))
            self._redaction = Redaction(self._rules, self._languages)
            return called
        return replace(called, arguments=self._redaction.redact_json(called.arguments))

    def _on_tool_returned(self, returned: events.ToolReturned) -> events.ToolReturned:
        if returned.function_call_id in self._collecting:
            self._collecting.remove(returned.function_call_id)
            return replace(returned, output=DIGIT)
        return replace(returned, output=self._redaction.redact_json(str(returned.output)))


def _is_secret(arguments: str) -> bool:
    """Whether the model says that the number is a secret."""
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return isinstance(given, dict) and given.get(SECRET) is True
