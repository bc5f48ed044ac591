from typing import Any

import pytest

from sipagent.agent.json_schema import MAX_DEPTH, MAX_SCHEMA_BYTES, SchemaArguments, expand

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "integer", "minimum": 1, "maximum": 99},
        "day": {"type": "string", "enum": ["monday", "friday"]},
        "weight": {"type": "number"},
        "urgent": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 2},
        "where": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "note": {"type": ["string", "null"]},
    },
    "required": ["order"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"order": 7}, {"order": 7}),
        ({"order": "7", "weight": "1.5", "urgent": "true"}, {"order": 7, "weight": 1.5, "urgent": True}),
        ({"order": 7.0}, {"order": 7.0}),
        ({"order": 7, "day": None, "note": None}, {"order": 7, "note": None}),
        ({"order": 7, "note": 5}, {"order": 7, "note": "5"}),
        ({"order": 7, "names": ["ada"], "where": {"city": "Rome", "more": 1}},
         {"order": 7, "names": ["ada"], "where": {"city": "Rome", "more": 1}}),
    ],
)  # fmt: skip
def test_what_a_model_means(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert SchemaArguments(SCHEMA).convert(given) == meant


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "order is missing"),
        ({"order": "seven"}, "order must be a whole number"),
        ({"order": True}, "order must be a whole number"),
        ({"order": 7.5}, "order must be a whole number"),
        ({"order": 0}, "order must be at least 1"),
        ({"order": 100}, "order must be at most 99"),
        ({"order": 7, "day": "sunday"}, "day must be one of monday, friday"),
        ({"order": 7, "urgent": 1}, "urgent must be true or false"),
        ({"order": 7, "names": ["too long"]}, r"names\[0\] must have at most 5 characters"),
        ({"order": 7, "names": ["a", "b", "c"]}, "names must have at most 2 entries"),
        ({"order": 7, "where": {}}, "where.city is missing"),
        ({"order": 7, "price": 1}, "there is no parameter price"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SchemaArguments(SCHEMA).convert(given)


def test_keywords_and_shapes_of_others_are_left_to_them() -> None:
    odd = {"properties": {"a": True, "b": {"type": "duck"}, "c": {"enum": "x", "required": 7}}, "required": "a"}
    values = {"a": 1, "b": 2, "c": {"d": []}}
    assert SchemaArguments(odd).convert(values) == values


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "array"}, "those of an object"),
        ({"properties": []}, "those of an object"),
        (nested(MAX_DEPTH), "nested too deep"),
        ({"properties": {"a": {"description": "x" * MAX_SCHEMA_BYTES}}}, "more than 16384 bytes"),
    ],
)
def test_what_no_model_should_read_is_refused(schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        SchemaArguments(schema)


def test_the_short_form() -> None:
    short = {"order": {"type": "integer"}, "day?": ["monday", "friday"], "size": [1, 2], "name": "The caller's name."}
    assert expand(short) == {
        "type": "object",
        "properties": {
            "order": {"type": "integer"},
            "day": {"type": "string", "enum": ["monday", "friday"]},
            "size": {"enum": [1, 2]},
            "name": {"type": "string", "description": "The caller's name."},
        },
        "required": ["order", "size", "name"],
        "additionalProperties": False,
    }


def test_a_schema_stays_one() -> None:
    assert expand(SCHEMA) == SCHEMA


@pytest.mark.parametrize("kind", [7, [], None, True])
def test_a_parameter_that_is_nothing_of_the_kind(kind: Any) -> None:
    with pytest.raises(TypeError, match="order: expected words"):
        expand({"order": kind})
