"""From a tree of YAML to structs: strict, complete in its complaints, and helpful about a misspelt key.

What is understood: structs, maps by name, tuples, optional values, texts, numbers, truth values, choices, paths, and
any class with a ``parse``. A struct without a value counts as empty, so that all its keys may be commented out.
"""

from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect as kinds

from sipagent.agent.hours import Holiday
from sipagent.config.agent_settings import TextFile
from sipagent.config.document import BROKEN, Node, Reader, join
from sipagent.config.values import Announcement, Delivery, Filler, Secret, ToolReference

StructT = TypeVar("StructT", bound=msgspec.Struct)

InFolder = (Announcement, Delivery, Filler, ToolReference, TextFile)
"""What may name a file."""

INVALID: Any = object()
"""Stands for a value whose problem is already reported."""


def decode(node: Node, kind: type[StructT], reader: Reader) -> StructT | None:
    """Return the struct, or ``None`` when anything in it is wrong; ``reader`` then knows all of it."""
    value = Decoder(reader).decode(node, kinds.type_info(kind), "")
    return None if value is INVALID else cast(StructT, value)


class Decoder:
    """Decodes the nodes of one file; relative paths in it start from the file's folder."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._folder = reader.file.parent

    def decode(self, node: Node, kind: kinds.Type, path: str) -> Any:
        """Return the value that ``kind`` asks for, or ``INVALID``."""
        if node.value is BROKEN:
            return INVALID
        match kind:
            case kinds.Metadata():
                return self.decode(node, kind.type, path)
            case kinds.UnionType():
                return self._decode_union(node, kind, path)
            case kinds.StructType():
                return self._decode_struct(node, kind, path)
            case kinds.DictType():
                return self._decode_map(node, kind.value_type, path)
            case kinds.VarTupleType():
                return self._decode_tuple(node, kind, path)
            case kinds.AnyType():
                return _plain(node)
            case kinds.DataclassType() | kinds.CustomType():
                return self._decode_text(node, kind.cls, path)
            case _:
                return self._decode_plain(node, kind, path)

    def _decode_union(self, node: Node, kind: kinds.UnionType, path: str) -> Any:
        """What may be nothing, or one of several plain things, such as a number or a word."""
        if kind.includes_none and node.value is None:
            return None
        some = _of_union(kind)
        if len(some) == 1:
            return self.decode(node, some[0], path)
        fits = any(_is_plain(node.value, each) for each in some)
        return node.value if fits else self._refuse(node, path, describe(kind))

    def _decode_struct(self, node: Node, kind: kinds.StructType, path: str) -> Any:
        given = {} if node.value is None else node.value
        if not isinstance(given, dict):
            return self._refuse(node, path, "keys and values")
        fields = {field.name: field for field in kind.fields}
        values = {}
        for name in [name for name in given if name not in fields]:
            self._reader.report(join(path, name), given[name].line, f"unknown key{suggest(name, fields)}")
            values[name] = INVALID
        for name, field in fields.items():
            child = given.get(name, Node(None, node.line))
            if name in given or isinstance(field.type, kinds.StructType):
                values[name] = self.decode(child, field.type, join(path, name))
            elif field.required:
                self._reader.report(join(path, name), node.line, f"missing; expected {describe(field.type)}")
                values[name] = INVALID
            elif isinstance(field.default, Path):
                values[name] = self._folder / field.default
        return INVALID if INVALID in values.values() else kind.cls(**values)

    def _decode_map(self, node: Node, kind: kinds.Type, path: str) -> Any:
        if not isinstance(node.value, dict) or not node.value:
            return self._refuse(node, path, "at least one name, and what it stands for below it")
        values = {key: self.decode(child, kind, join(path, key)) for key, child in node.value.items()}
        return INVALID if INVALID in values.values() else values

    def _decode_tuple(self, node: Node, kind: kinds.VarTupleType, path: str) -> Any:
        if not isinstance(node.value, list) or len(node.value) < (kind.min_length or 0):
            return self._refuse(node, path, describe(kind))
        children = enumerate(node.value)
        values = tuple([self.decode(child, kind.item_type, f"{path}[{i}]") for i, child in children])
        return INVALID if INVALID in values else values

    def _decode_text(self, node: Node, cls: Any, path: str) -> Any:
        if cls is Holiday and type(node.value) is date:
            return cls.parse(node.value.isoformat())  # YAML knows dates, too
        if not isinstance(node.value, str):
            shown = Node(node.value, node.line, is_secret=cls is Secret)
            return self._refuse(shown, path, "text, in quotes if it looks like something else")
        if cls is Path:
            return self._folder / Path(node.value).expanduser()
        try:
            value = cls.parse(node.value)
            return value.resolve(self._folder) if isinstance(value, InFolder) else value
        except ValueError as error:
            return self._refuse(node, path, str(error))

    def _decode_plain(self, node: Node, kind: kinds.Type, path: str) -> Any:
        return node.value if _is_plain(node.value, kind) else self._refuse(node, path, describe(kind))

    def _refuse(self, node: Node, path: str, expected: str) -> Any:
        self._reader.report(path, node.line, f"expected {expected}; got {_show(node)}")
        return INVALID


def _is_plain(value: object, kind: kinds.Type) -> bool:
    """Whether a value is what ``kind`` asks for, as it stands there."""
    match kind:
        case kinds.BoolType():
            return isinstance(value, bool)
        case kinds.StrType():
            return isinstance(value, str) and len(value) >= (kind.min_length or 0)
        case kinds.LiteralType():
            return isinstance(value, str) and value in kind.values
        case kinds.IntType():
            return isinstance(value, int) and not isinstance(value, bool) and _is_within(value, kind)
        case kinds.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool) and _is_within(value, kind)
        case _:
            raise TypeError(f"settings of type {kind} are not supported")


def _of_union(kind: kinds.UnionType) -> list[kinds.Type]:
    """What it may be, besides nothing."""
    return [each for each in kind.types if not isinstance(each, kinds.NoneType)]


def _plain(node: Node) -> Any:
    """What stands there, as YAML has it."""
    match node.value:
        case dict():
            values = {key: _plain(child) for key, child in node.value.items()}
            return INVALID if any(each is INVALID for each in values.values()) else values
        case list():
            listed = [_plain(child) for child in node.value]
            return INVALID if any(each is INVALID for each in listed) else listed
        case _:
            return INVALID if node.value is BROKEN else node.value


def suggest(word: str, known: Any) -> str:
    """Return ``; did you mean ...?``, or what else there is."""
    if close := get_close_matches(word, known, 1, 0.6):
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(sorted(known))}"


def describe(kind: kinds.Type) -> str:
    """Return what is expected, in words."""
    match kind:
        case kinds.Metadata():
            return describe(kind.type)
        case kinds.UnionType():
            return " or ".join(describe(each) for each in _of_union(kind))
        case kinds.BoolType():
            return "true or false"
        case kinds.LiteralType():
            return " or ".join(map(str, kind.values))
        case kinds.IntType():
            return f"a whole number{_describe_bounds(kind)}"
        case kinds.FloatType():
            return f"a number{_describe_bounds(kind)}"
        case kinds.StrType(min_length=1):
            return "some text"
        case kinds.VarTupleType():
            return "a list of at least one" if kind.min_length else "a list"
        case kinds.StructType() | kinds.DictType():
            return "keys and values"
        case _:
            return "text"


def _describe_bounds(kind: kinds.IntType | kinds.FloatType) -> str:
    match kind.ge, kind.le:
        case None, None:
            return ""
        case low, None:
            return f" from {low} on"
        case None, high:
            return f" up to {high}"
        case low, high:
            return f" from {low} to {high}"
    return ""


def _is_within(value: float, kind: kinds.IntType | kinds.FloatType) -> bool:
    return (kind.ge is None or value >= kind.ge) and (kind.le is None or value <= kind.le)


def _show(node: Node) -> str:
    value = node.value
    if node.is_secret:
        return "something that is not shown here, since it may be a secret"
    if isinstance(value, bool):
        return f"{str(value).lower()}, which YAML takes for a truth value unless it is in quotes"
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, int | float):
        return f"the number {value}"
    kinds_of_value = {type(None): "nothing", dict: "keys and values", list: "a list"}
    return kinds_of_value.get(type(value), f"a {type(value).__name__}")
