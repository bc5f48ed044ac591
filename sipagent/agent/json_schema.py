"""Arguments described by a JSON Schema that is not ours: a tool of a file's or of another server's.

What is checked is what models get wrong: names, kinds, choices and bounds. Every other keyword is for the model to read
and for the tool's own server to judge. As models do, a number may be given as a string, and null for what is left out.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

MAX_SCHEMA_BYTES = 16_384
"""Of one tool's parameters, as JSON: the model reads them before each answer."""

MAX_DEPTH = 16
"""Of a schema; what nests deeper is no tool for a telephone."""

OPTIONAL: Final = "?"
"""Behind a name in the short form: it need not be given."""

KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}

WORDS: Final[Mapping[str, str]] = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class SchemaArguments:
    """The parameters of a tool that a model fills in.

    :param schema: of one object.
    :param injected_name: under which the tool wants to be given what it may know of the call.
    :raises TypeError: it is not of an object, or is too long or too deep.
    """

    def __init__(self, schema: Mapping[str, Any], *, injected_name: str | None = None) -> None:
        if schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), dict):
            raise TypeError("the parameters must be those of an object, with its properties by name")
        if _depth(schema) > MAX_DEPTH:
            raise TypeError("the parameters are nested too deep")
        if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
            raise TypeError(f"the parameters take more than {MAX_SCHEMA_BYTES} bytes")
        self.schema: dict[str, Any] = {"type": "object", "properties": {}} | dict(schema)
        self.injected_name = injected_name

    def convert(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values as the schema wants them.

        :raises ValueError: they don't fit; the message names the parameter.
        """
        converted: dict[str, Any] = _convert(self.schema, values, "")
        return converted


def expand(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of parameters in the short form; what is a JSON Schema already stays as it is.

    In the short form there is a name for each, with a ``?`` behind it if it need not be given, and what it is: words
    for a text, a list for a choice, or a schema.

    :raises TypeError: a parameter is none of that.
    """
    if parameters.get("type") == "object" and isinstance(parameters.get("properties"), dict):
        return dict(parameters)
    properties = {name.rstrip(OPTIONAL): _expand_one(name, kind) for name, kind in parameters.items()}
    required = [name for name in parameters if not name.endswith(OPTIONAL)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _expand_one(name: str, kind: Any) -> dict[str, Any]:
    match kind:
        case str():
            return {"type": "string", "description": kind}
        case [_, *_]:
            return {"enum": kind} | ({"type": "string"} if all(isinstance(each, str) for each in kind) else {})
        case dict():
            return kind
        case _:
            raise TypeError(f"{name}: expected words for a text, a list for a choice, or a JSON Schema")


def _convert(schema: Any, value: Any, where: str) -> Any:
    if not isinstance(schema, dict):
        return value
    value = _convert_kind(schema.get("type"), value, where)
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        raise ValueError(f"{where or 'it'} must be one of {', '.join(map(str, choices))}")
    _check_bounds(schema, value, where)
    if isinstance(value, dict):
        return _convert_object(schema, value, where)
    if isinstance(value, list):
        return [_convert(schema.get("items"), each, f"{where}[{i}]") for i, each in enumerate(value)]
    return value


def _convert_object(schema: dict[str, Any], value: dict[str, Any], where: str) -> dict[str, Any]:
    found, listed = schema.get("properties"), schema.get("required")
    properties = found if isinstance(found, dict) else {}
    required = listed if isinstance(listed, list) else []
    given = {
        name: each
        for name, each in value.items()
        if each is not None or name in required or _admits_null(properties.get(name))
    }
    for name in required:
        if name not in given:
            raise ValueError(f"{_join(where, name)} is missing")
    if schema.get("additionalProperties") is False:
        for name in given:
            if name not in properties:
                raise ValueError(f"there is no parameter {_join(where, name)}")
    return {name: _convert(properties.get(name), each, _join(where, name)) for name, each in given.items()}


def _convert_kind(kind: Any, value: Any, where: str) -> Any:
    kinds = [each for each in (kind if isinstance(kind, list) else [kind]) if each in KINDS]
    if not kinds or any(_is_of(each, value) for each in kinds):
        return value
    for each in kinds:
        meant = _meant(each, value)
        if meant is not None:
            return meant
    raise ValueError(f"{where or 'it'} must be {' or '.join(WORDS[each] for each in kinds)}")


def _is_of(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, KINDS[kind]) or (kind == "integer" and isinstance(value, float) and value.is_integer())


def _meant(kind: str, value: Any) -> Any:
    """What a model meant by a string or a number of the wrong kind; ``None`` for nothing."""
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kind not in ("integer", "number", "boolean") or not isinstance(value, str):
        return None
    try:
        read = msgspec.json.decode(value.strip().lower())
    except ValueError:
        return None
    return read if _is_of(kind, read) else None


def _check_bounds(schema: dict[str, Any], value: Any, where: str) -> None:
    match value:
        case bool():
            return
        case int() | float():
            size, low, high, unit = value, "minimum", "maximum", ""
        case str():
            size, low, high, unit = len(value), "minLength", "maxLength", " characters"
        case list():
            size, low, high, unit = len(value), "minItems", "maxItems", " entries"
        case _:
            return
    least, most = schema.get(low), schema.get(high)
    if isinstance(least, int | float) and size < least:
        raise ValueError(f"{where or 'it'} must {'have' if unit else 'be'} at least {least}{unit}")
    if isinstance(most, int | float) and size > most:
        raise ValueError(f"{where or 'it'} must {'have' if unit else 'be'} at most {most}{unit}")


def _admits_null(schema: Any) -> bool:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return kind == "null" or (isinstance(kind, list) and "null" in kind)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _depth(value: Any, depth: int = 0) -> int:
    """How deep a value nests; no deeper than what is refused anyway."""
    if depth > MAX_DEPTH or not isinstance(value, dict | list):
        return depth
    children = value.values() if isinstance(value, dict) else value
    return max((_depth(child, depth + 1) for child in children), default=depth)
