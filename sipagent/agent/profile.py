"""Who the agent is: how it speaks, what it may do, and when it stops to listen."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from sipagent.agent.tools import Tool
from sipagent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """When the caller has begun, and has finished, speaking."""

    detection: Literal["local", "server"] = "local"
    """Who ends a turn."""
    start_ms: int = 40
    end_silence_ms: int = 500
    preroll_ms: int = 300
    max_turn_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class BargeInPolicy:
    """Whether the caller may interrupt the agent, and by how much speech."""

    enabled: bool = True
    confirm_ms: int = 60


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """One agent, as one call uses it.

    :raises ConfigError: two tools have the same name.
    """

    name: str
    instructions: str
    greeting: str | None = None
    """Instructions for the first words; ``None`` lets the caller speak first."""
    voice: str = "marin"
    speed: float = 1.0
    language: str | None = None
    """ISO 639-1."""
    tools: tuple[Tool, ...] = ()
    turn: TurnPolicy = field(default_factory=TurnPolicy)
    barge_in: BargeInPolicy = field(default_factory=BargeInPolicy)
    max_call_s: float = 3600.0
    record: bool = False

    def __post_init__(self) -> None:
        counts = Counter(each.name for each in self.tools)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ConfigError(f"agent {self.name}: two tools have the name {twice[0]}")

    @property
    def tool_definitions(self) -> tuple[dict[str, Any], ...]:
        """The tools as ``session.update`` wants them."""
        return tuple(each.definition for each in self.tools)

    def find_tool(self, name: str) -> Tool | None:
        """The tool that the model calls by ``name``."""
        return next((each for each in self.tools if each.name == name), None)
