"""A YAML file as a tree that remembers lines, with the references to the environment in its texts replaced.

``${NAME}`` stands for a variable, ``${NAME:-text}`` for ``text`` where it is unset or empty, ``$${`` for ``${``.
Only texts hold references, and what a variable holds is text too: neither read as YAML nor searched for references.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

REFERENCE = re.compile(
    r"""
    (?P<escaped> \$\$\{ ) |
    \$\{ (?P<name> [A-Z_a-z][0-9A-Z_a-z]* ) (?: :- (?P<default> [^}]* ) )? \} |
    (?P<broken> \$\{ )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the file."""

    file: Path
    line: int
    path: str
    """Such as ``lines[0].agent``; empty for the file as a whole."""
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)  # what a program gave is in no line
        return f"{where}: {self.path + ': ' if self.path else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value with the line where it stands."""

    value: "Value"
    line: int
    is_secret: bool = False
    """Whether part of it came from the environment, or is secret by itself: then no message may quote it."""


Scalar: TypeAlias = Any
"""What YAML makes of a scalar: text, a number, a truth value, nothing, a date, bytes."""

Value: TypeAlias = dict[str, Node] | list[Node] | Scalar

BROKEN: Scalar = object()
"""Stands for a value whose problem is already reported."""


class Reader:
    """Reads one file; what is wrong with it goes to ``problems``."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._environ = environ

    def report(self, path: str, line: int, message: str) -> None:
        """Note a problem, and go on."""
        self.problems.append(Problem(self.file, line, path, message))

    def read(self, text: str) -> Node | None:
        """Return the root, or ``None`` when this is no YAML; an empty file is an empty mapping."""
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            return Node({}, 1) if root is None else self._read_node(root, "", loader, ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.report("", line, f"not YAML: {error.problem or error.context}")
        except yaml.reader.ReaderError as error:
            self.report("", text.count("\n", 0, error.position) + 1, f"not YAML: {error.reason}")
        except RecursionError:
            self.report("", 1, "nested too deeply")
        return None

    def _read_node(self, node: yaml.Node, path: str, loader: yaml.SafeLoader, parents: tuple[yaml.Node, ...]) -> Node:
        line = node.start_mark.line + 1
        if node in parents:
            self.report(path, line, "an alias of what it stands in")
            return Node(BROKEN, line)
        parents = (*parents, node)
        if isinstance(node, yaml.MappingNode):
            return Node(self._read_mapping(node, path, loader, parents), line)
        if isinstance(node, yaml.SequenceNode):
            children = enumerate(node.value)
            return Node([self._read_node(child, f"{path}[{i}]", loader, parents) for i, child in children], line)
        return self._read_scalar(node, path, line, loader)

    def _read_mapping(
        self, node: yaml.MappingNode, path: str, loader: yaml.SafeLoader, parents: tuple[yaml.Node, ...]
    ) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.report(path, line, "expected a name before the colon")
                continue
            key = key_node.value
            if key in mapping:
                self.report(join(path, key), line, f"stands here twice, first in line {mapping[key].line}")
                continue
            child = self._read_node(value_node, join(path, key), loader, parents)
            mapping[key] = Node(child.value, line, child.is_secret)
        return mapping

    def _read_scalar(self, node: yaml.Node, path: str, line: int, loader: yaml.SafeLoader) -> Node:
        try:
            value = loader.construct_object(node)
        except ValueError:
            self.report(path, line, "looks like a number or a date, and is none; put it in quotes")
            return Node(BROKEN, line)
        if not isinstance(value, str) or "${" not in value:
            return Node(value, line)
        problems = len(self.problems)
        text, is_secret = self._replace_references(value, path, line)
        return Node(BROKEN if len(self.problems) > problems else text, line, is_secret)

    def _replace_references(self, text: str, path: str, line: int) -> tuple[str, bool]:
        names: list[str] = []

        def replace(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            if match["broken"]:
                self.report(path, line, "expected ${NAME} or ${NAME:-text}; write $${ for ${ itself")
                return ""
            name, default = match["name"], match["default"]
            names.append(name)
            value = self._environ.get(name)
            if default is not None:
                return value or default
            if value is None:
                self.report(path, line, f"the environment variable {name} is not set; ${{{name}:-}} makes it optional")
            return value or ""

        return REFERENCE.sub(replace, text), bool(names)


def join(path: str, key: str) -> str:
    """Return the path of ``key`` in the mapping at ``path``."""
    return f"{path}.{key}" if path else key
