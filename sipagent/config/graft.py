"""Settings that do not stand in the file: agents of a program, and what a file that leaves it out has."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from sipagent.config.document import Node, Value

ENGINE = "openai"
"""The name of the engine where none is given."""

KEY = "OPENAI_API_KEY"
"""The variable that holds its key."""


def graft(root: Node, agents: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]) -> list[str]:
    """Put agents into the tree of a file, and a line and an engine where it has none.

    :returns: the names that the file has as well; there it stays as it is.
    """
    if not agents or not isinstance(root.value, dict):
        return []
    tree = root.value
    engines = tree.setdefault("engines", _default_engines(environ)).value
    engine = next(iter(engines), ENGINE) if isinstance(engines, dict) else ENGINE
    known = tree.setdefault("agents", Node({}, 0)).value
    if not isinstance(known, dict):
        return []
    for name, values in agents.items():
        known.setdefault(name, to_node({"engine": engine, **values}))
    tree.setdefault("lines", to_node([{"name": "main", "agent": next(iter(agents))}]))
    return [name for name in agents if known[name].line]


def to_node(value: Any) -> Node:
    """Return a value of Python as a node of no line."""
    return Node(_to_value(value), 0)


def _to_value(value: Any) -> Value:
    match value:
        case Mapping():
            return {str(key): to_node(child) for key, child in value.items()}
        case list() | tuple():
            return [to_node(child) for child in value]
        case PurePath():
            return str(value)
        case _:
            return value


def _default_engines(environ: Mapping[str, str]) -> Node:
    return Node({ENGINE: Node({"api_key": Node(environ.get(KEY, ""), 0, is_secret=True)}, 0)}, 0)
