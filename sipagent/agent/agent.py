"""An agent written in Python: what ``agents`` in the configuration says of one, as values of the program's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sipagent.agent.profile import Instructions
from sipagent.agent.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who talks to the caller."""

    instructions: Instructions
    """A text, with facts of the call in braces as in the configuration; or a function that makes one of a call. What
    strangers chose (names, header fields) such a function puts in by :func:`~sipagent.agent.quotation.quote_text`."""
    name: str = "agent"
    """By which lines, routes and other agents know it."""
    greeting: Instructions | None = None
    """What the first words are to be; ``None`` lets the caller speak first."""
    description: str | None = None
    """What it is for: those who may hand over to it read it."""
    voice: str | None = None
    language: str | None = None
    engine: str | None = None
    """The name of an engine of the configuration; ``None`` is its first one."""
    tools: Sequence[Tool | Callable[..., Any] | str] = ("hang_up",)
    """Functions, with or without :func:`~sipagent.agent.tools.tool`, and whatever may stand in the configuration."""
    knowledge: Sequence[str | Path] = ()
    """Text files; their paths start from the folder of the configuration, without one from where the program runs."""
    hand_over: Sequence[str] = ()
    """The names of agents that may take the call over."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """All the rest that the configuration says of agents: ``{"turn": {"end_silence_ms": 700}, "record": True}``."""

    def values(self) -> dict[str, Any]:
        """Return it as it would stand in the configuration, but for what is no text: functions."""
        said = {
            "description": self.description,
            "voice": self.voice,
            "language": self.language,
            "engine": self.engine,
            "greeting": self.greeting if isinstance(self.greeting, str) else None,
            "hand_over": list(self.hand_over),
            "knowledge": {"files": [str(path) for path in self.knowledge]} if self.knowledge else None,
        }
        given = {key: value for key, value in said.items() if value is not None}
        instructions = self.instructions if isinstance(self.instructions, str) else CALLED
        tools = [each for each in self.tools if isinstance(each, str)]
        return {"instructions": instructions, "tools": tools, **given, **self.settings}


CALLED = "(made of each call)"
"""Stands in the settings for instructions that a function makes."""
