"""The hints that a tool may have; this module must not postpone its annotations, so that both ways are tested."""

import datetime
import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest

from sipagent.agent.schema import Arguments


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Topping:
    name: str
    grams: int = 10


@dataclass
class Tree:
    branches: "list[Tree]"


class Injected:
    pass


class Unreadable:
    pass


def arguments(function: Any, **descriptions: str) -> Arguments:
    return Arguments(function, descriptions, injected=Injected)


TOPPING = {
    "title": "Topping",
    "type": "object",
    "properties": {"name": {"type": "string"}, "grams": {"type": "integer", "default": 10}},
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("hint", "schema", "given", "converted"),
    [
        (str, {"type": "string"}, "a", "a"),
        (int, {"type": "integer"}, 3, 3),
        (int, {"type": "integer"}, "3", 3),
        (float, {"type": "number"}, 3, 3.0),
        (float, {"type": "number"}, "3.5", 3.5),
        (bool, {"type": "boolean"}, True, True),
        (bool, {"type": "boolean"}, "true", True),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, None),  # noqa: UP045
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, 4, 4),
        (Literal["a", "b"], {"enum": ["a", "b"]}, "b", "b"),
        (list[int], {"type": "array", "items": {"type": "integer"}}, [1, "2"], [1, 2]),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}, {"x": 1}, {"x": 1.0}),
        (Size, {"title": "Size", "enum": ["large", "small"]}, "small", Size.SMALL),
        (Topping, TOPPING, {"name": "ham"}, Topping("ham")),
        (list[Topping], {"type": "array", "items": TOPPING}, [{"name": "ham", "grams": 5}], [Topping("ham", 5)]),
        (datetime.date, {"type": "string", "format": "date"}, "2026-11-20", datetime.date(2026, 11, 20)),
        (Any, {}, {"a": [1]}, {"a": [1]}),
        (Annotated[str, "words"], {"type": "string", "description": "words"}, "a", "a"),
        (Annotated[str, 7], {"type": "string"}, "a", "a"),
        (Annotated[int, msgspec.Meta(ge=1, le=5)], {"type": "integer", "minimum": 1, "maximum": 5}, 2, 2),
        (
            Annotated[int, msgspec.Meta(ge=1), "words"],
            {"type": "integer", "minimum": 1, "description": "words"},
            2,
            2,
        ),
        (Annotated[int, msgspec.Meta(description="meta")], {"type": "integer", "description": "meta"}, 2, 2),
    ],
)
def test_hints(hint: Any, schema: Any, given: Any, converted: Any) -> None:
    def function(value: hint) -> None: ...

    made = arguments(function)
    assert made.schema == {
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "additionalProperties": False,
    }
    assert made.convert({"value": given}) == {"value": converted}


@pytest.mark.parametrize(
    ("hint", "given"),
    [
        (str, 3),
        (str, None),
        (int, "three"),
        (int, 1.5),
        (bool, "perhaps"),
        (Literal["a"], "b"),
        (Size, "medium"),
        (list[int], {}),
        (list[int], ["x"]),
        (Topping, {"grams": 1}),
        (datetime.date, "tomorrow"),
        (Annotated[int, msgspec.Meta(le=5)], 6),
    ],
)
def test_what_does_not_fit_is_refused(hint: Any, given: Any) -> None:
    def function(value: hint) -> None: ...

    with pytest.raises(ValueError, match="value"):
        arguments(function).convert({"value": given})


def test_defaults() -> None:
    shared = ["ham"]

    def function(
        a: int = 3,
        b: str | None = None,
        c: list[str] = shared,
        d: Any = object(),  # noqa: B008
        e: Size = Size.LARGE,
        *,
        f: str,
        g: dict[str, int] = {},  # noqa: B006
    ) -> None: ...

    made = arguments(function)
    assert made.schema["required"] == ["f"]
    properties = made.schema["properties"]
    assert properties["a"] == {"type": "integer", "default": 3}
    assert properties["b"]["default"] is None
    assert properties["e"]["default"] == "large"
    assert properties["d"] == {}
    assert made.convert({"f": "x"}) == {"f": "x"}, "what is not given is left to the function's own default"


def test_null_for_a_parameter_with_a_default_means_left_out() -> None:
    def function(a: int, b: str = "x", c: int | None = 5) -> None: ...

    made = arguments(function)
    assert made.convert({"a": 1, "b": None, "c": None}) == {"a": 1, "c": None}
    with pytest.raises(ValueError, match="a"):
        made.convert({"a": None})


def test_missing_and_extra() -> None:
    def function(a: int) -> None: ...

    with pytest.raises(ValueError, match="missing required field `a`"):
        arguments(function).convert({})
    with pytest.raises(ValueError, match="unknown field `b`"):
        arguments(function).convert({"a": 1, "b": 2})


def test_no_parameters() -> None:
    def function() -> None: ...

    assert arguments(function).schema == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert arguments(function).convert({}) == {}


def test_descriptions_come_from_outside_unless_annotated() -> None:
    def function(a: str, b: Annotated[str, "own"], c: Annotated[str, msgspec.Meta(description="meta")]) -> None: ...

    properties = arguments(function, a="of a", b="of b", c="of c").schema["properties"]
    assert [properties[name]["description"] for name in "abc"] == ["of a", "own", "meta"]


def test_the_injected_parameter_is_not_shown() -> None:
    def function(first: Injected, a: int) -> None: ...

    def optional(a: int, last: Injected | None = None) -> None: ...

    for each, name in ((function, "first"), (optional, "last")):
        made = arguments(each)
        assert made.injected_name == name
        assert list(made.schema["properties"]) == ["a"]
        with pytest.raises(ValueError, match=name):
            made.convert({"a": 1, name: {}})


def test_hints_as_strings() -> None:
    def function(topping: "Topping", who: "Injected") -> None: ...

    made = arguments(function)
    assert made.injected_name == "who"
    assert made.convert({"topping": {"name": "ham"}}) == {"topping": Topping("ham")}


def bare(a) -> None: ...  # type: ignore[no-untyped-def]


def positional(a: int, /) -> None: ...


def starred(*a: int) -> None: ...


def keywords(**a: int) -> None: ...


def recursive(a: Tree) -> None: ...


def unreadable(a: Unreadable) -> None: ...


def unknown(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (bare, "a needs a type hint"),
        (positional, "a cannot be given by name"),
        (starred, "a cannot be given by name"),
        (keywords, "a cannot be given by name"),
        (recursive, "contains itself"),
        (unreadable, "JSON has nothing like Unreadable"),
        (unknown, "Nowhere"),
    ],
)
def test_what_a_model_cannot_fill_in(function: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        arguments(function)
