"""A tool: a Python function that the model may call, described to it by its own signature and docstring."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from inspect import getdoc, iscoroutinefunction
from typing import Any, Final, Protocol, overload

import msgspec

from sipagent.agent.docstrings import parse_docstring
from sipagent.agent.schema import Arguments
from sipagent.errors import SipagentError

DEFAULT_TIMEOUT_S = 10.0
"""A caller who hears nothing for longer believes the line is dead."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the Realtime API takes for a function's name."""


class ToolError(SipagentError):
    """A tool can't do what it is asked for; the message is a sentence for the model, which it tells in its own words.

    A tool of the user's may raise it; whatever else one raises the model is only told that it failed.
    """


class ToolArgumentError(SipagentError):
    """The model's arguments don't fit; the message is a sentence for the model, so that it can do better."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What a tool may know of the call. A parameter with this hint is filled in by us and not shown to the model."""

    call_id: str
    """Our own id of the call, the one in the log."""
    caller: str = ""
    """The caller's SIP URI."""
    called: str = ""
    """The SIP URI that was dialled."""
    agent: str = ""
    """The name of the agent that took the call."""
    caller_name: str = ""
    """As the caller or his network writes it, at most 64 characters; nobody vouches for it."""
    is_vouched_for: bool = False
    """Whether a network that we trust says who the caller is; if not, he says so himself."""
    is_private: bool = False
    """The caller asked not to be shown to others."""
    diverted_from: tuple[str, ...] = ()
    """Whom the call was for before, the last one first: numbers or user parts."""
    user_to_user: tuple[str, ...] = ()
    """What the caller's program attached (:rfc:`7433`)."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The X- fields of the INVITE, by name."""
    caller_number: str = ""
    """The caller's number or name at his server, without the rest of the URI."""
    called_number: str = ""
    """The same of whom was dialled."""
    line: str = ""
    """The name of the line by which the call came, or is made."""
    time: datetime | None = None
    """When the agent took the call, in the timezone of the configuration."""


class ArgumentReader(Protocol):
    """What a tool's parameters are, and the reading of a model's arguments for them."""

    injected_name: str | None
    """The parameter that we fill in with a :class:`CallInfo`."""
    schema: dict[str, Any]
    """The JSON Schema of one object, with a property for each of the others."""

    def convert(self, values: dict[str, Any]) -> dict[str, Any]:
        """Turn values read from JSON into what the function takes.

        :raises ValueError: they don't fit; the message names the parameter.
        """


@dataclass(frozen=True, slots=True)
class Tool:
    """A function, and what the model is told of it. Called, it is the function itself."""

    name: str
    description: str
    function: Callable[..., Any]
    arguments: ArgumentReader
    timeout_s: float = DEFAULT_TIMEOUT_S
    needs_approval: bool = False
    """Whether somebody is asked before each time it runs (:mod:`sipagent.agent.approval`)."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, as if it were no tool."""
        return self.function(*args, **kwargs)

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.arguments.schema

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as ``session.update`` wants it."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return iscoroutinefunction(self.function)

    def parse_arguments(self, text: str, call: CallInfo | None = None) -> dict[str, Any]:
        """Read the JSON that the model wrote, into keyword arguments for the function.

        :param call: for the function that asks for it.
        :raises ToolArgumentError: it is no JSON object, or does not fit the signature.
        """
        try:
            values = msgspec.json.decode(text) if text.strip() else {}
        except (ValueError, RecursionError):
            raise ToolArgumentError(f"The arguments of {self.name} are not valid JSON.") from None
        if not isinstance(values, dict):
            raise ToolArgumentError(f"The arguments of {self.name} must be a JSON object.")
        try:
            arguments = self.arguments.convert(values)
        except (ValueError, RecursionError) as error:
            raise ToolArgumentError(f"The arguments of {self.name} are wrong: {_sentence(error)}") from None
        if self.arguments.injected_name is not None and call is not None:
            arguments[self.arguments.injected_name] = call
        return arguments


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    needs_approval: bool = False,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    needs_approval: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, with or without parentheses.

    The name is the function's, the description its docstring's, the parameters its signature's with the docstring's
    words on each (Google's or reStructuredText's manner), or those in ``Annotated[str, "words"]``.

    :param timeout_s: how long the model waits for the output.
    :param needs_approval: whether somebody is asked before each time it runs.
    :raises TypeError: the function cannot be a tool; the message says why.
    """

    def make(function: Callable[..., Any]) -> Tool:
        made = _make(function, str(name or getattr(function, "__name__", "")), description, timeout_s)
        return replace(made, needs_approval=needs_approval)

    return make if function is None else make(function)


def _make(function: Callable[..., Any], name: str, description: str | None, timeout_s: float) -> Tool:
    if not NAME.fullmatch(name):
        raise TypeError(f"tool {name!r}: a name has 1 to 64 letters, digits, _ or -")
    if not timeout_s > 0:
        raise TypeError(f"tool {name}: timeout_s is {timeout_s}, not above 0")
    documented, parameters = parse_docstring(getdoc(function))
    try:
        arguments = Arguments(function, parameters, injected=CallInfo)
    except TypeError as error:
        raise TypeError(f"tool {name}: {error}") from error
    return Tool(name, description if description is not None else documented, function, arguments, timeout_s)


UNKNOWN: Final = re.compile(r"Object contains unknown field `(.+)`")
MISSING: Final = re.compile(r"Object missing required field `(.+)`")


def _sentence(error: Exception) -> str:
    """msgspec's message without its own vocabulary."""
    words, _, path = str(error).partition(" - at `$")
    words = UNKNOWN.sub(r"there is no parameter \1", words)
    words = MISSING.sub(r"\1 is missing", words).replace("`", "")
    where = path.rstrip("`").lstrip(".")
    return f"{words}, in {where}." if where else f"{words}."
