"""The settings of tools that are no Python functions, of who approves them, and of what they keep."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from sipagent.config.values import Filler, Secret, ToolReference

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0.1, le=120)]


class ToolConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool: a request to an HTTP service, or a Python function with settings of its own."""

    description: Text | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    function: ToolReference | None = None
    url: Text | None = None
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, Secret] = field(default_factory=dict)
    body: Any = None
    answer: str = ""
    max_characters: Annotated[int, Meta(ge=1, le=16_000)] = 4_000
    timeout_s: Seconds = 10.0
    needs_approval: bool = False


class McpConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An MCP server: a program that we start, one that we reach by HTTP, or one that the model itself reaches."""

    command: tuple[Text, ...] = ()
    env: dict[str, Secret] = field(default_factory=dict)
    folder: Path | None = None
    url: Text | None = None
    hosted: Text | None = None
    headers: dict[str, Secret] = field(default_factory=dict)
    allow: tuple[Text, ...] = ()
    timeout_s: Seconds = 10.0
    needs_approval: tuple[Text, ...] = ()


class ApprovalConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is asked about tools that need approval."""

    hook: ToolReference | None = None
    default: Literal["refuse", "allow"] = "refuse"
    timeout_s: Seconds = 10.0


class MessagesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages are kept that the tool ``take_message`` takes."""

    directory: Path = Path("build/messages")


class HoldConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller hears whom the tool ``hold`` has wait."""

    sound: Filler = Filler("none")
    level_dbfs: Annotated[float, Meta(ge=-70, le=-10)] = -30.0
