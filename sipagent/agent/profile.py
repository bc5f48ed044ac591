"""An agent as the model is told to be: its words, filled in for a call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sipagent.agent.quotation import quote_facts
from sipagent.agent.template import Template
from sipagent.agent.tools import CallInfo

Instructions: TypeAlias = str | Callable[[CallInfo], str]
"""Of an agent written in Python: a text as in the file, or what makes one of a call."""

Words: TypeAlias = Template | Callable[[CallInfo], str]
"""Words before they are filled in."""


EXACTLY: Final = 'Say exactly, word for word, and nothing else: "{text}"'


@dataclass(frozen=True, slots=True)
class Profile:
    """What an agent is told."""

    instructions: Words
    greeting: Words | None = None
    """What the first words are to be; ``None`` lets the caller speak first."""
    is_exact: bool = False
    """Whether the greeting is said word for word, and is no instruction."""
    prelude: str | None = None
    """Words that come before the greeting, whoever calls."""
    knowledge: str = ""
    """The texts that it has read."""
    tells_caller: bool = True
    """Whether the model is told who calls."""

    def instruct(self, call: CallInfo, facts: Mapping[str, object]) -> str:
        """Return the instructions for a call.

        :param facts: what the call brought with it; the model gets it as data.
        """
        parts = [_fill(self.instructions, call), self.knowledge]
        if self.tells_caller and facts:
            parts.append(quote_facts(facts))
        return "\n\n".join(filter(None, parts))

    def greet(self, call: CallInfo) -> str | None:
        """Return the instructions for the first words: an announcement in words comes before everything else."""
        greeting = None if self.greeting is None else _fill(self.greeting, call, warns_first=True)
        if greeting is not None and self.is_exact:
            greeting = EXACTLY.format(text=greeting)
        if self.prelude is None:
            return greeting
        first = f'Say first, word for word: "{self.prelude}"'
        return f"{first} Say nothing else." if greeting is None else f"{first} Then: {greeting}"


def _fill(words: Words, call: CallInfo, *, warns_first: bool = False) -> str:
    return words.fill(call, warns_first=warns_first) if isinstance(words, Template) else words(call)
