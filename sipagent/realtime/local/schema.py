"""Small checkers for the JSON a client sends; each gives the value back or says what is wrong in the API's words."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sipagent.realtime.local.wire import Json, RequestError, missing, wrong_type

Check: TypeAlias = Callable[[Any, str], Any]
"""Takes a value and its dotted path; gives the value that counts; raises :class:`RequestError`."""


def invalid(path: str, message: str) -> RequestError:
    """A value that is of the right type and still wrong."""
    return RequestError(f"Invalid '{path}': {message}", code="invalid_value", param=path)


def text(limit: int) -> Check:
    """A string of at most ``limit`` characters."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise wrong_type(path, "a string")
        if len(value) > limit:
            raise invalid(path, f"string too long. Expected a string with maximum length {limit}.")
        return value

    return check


def choice(*values: str) -> Check:
    """One of a few strings."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise wrong_type(path, "a string")
        if value not in values:
            supported = ", ".join(f"'{one}'" for one in values)
            message = f"Invalid value: '{value[:80]}'. Supported values are: {supported}."
            raise RequestError(message, code="invalid_value", param=path)
        return value

    return check


def number(low: float, high: float) -> Check:
    """A number between two bounds, themselves allowed."""

    def check(value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(path, "a decimal number")
        if not low <= value <= high:
            raise invalid(path, f"expected a value between {low} and {high}.")
        return value

    return check


def integer(low: int, high: int) -> Check:
    """An integer between two bounds; 3.0 is none."""
    within = number(low, high)

    def check(value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(path, "an integer")
        return within(value, path)

    return check


def boolean(value: Any, path: str) -> Any:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean")
    return value


def anything(value: Any, _path: str) -> Any:
    """Whatever it is: what the embedded model keeps and echoes, and does not act on."""
    return value


def nullable(check: Check) -> Check:
    """The same, or ``null``."""
    return lambda value, path: None if value is None else check(value, path)


def either(accepts: Callable[[Any], bool], first: Check, second: Check) -> Check:
    """``first`` for values that ``accepts`` says yes to, else ``second``."""
    return lambda value, path: first(value, path) if accepts(value) else second(value, path)


def array(check: Check, limit: int) -> Check:
    """A list of at most ``limit`` such values."""

    def check_all(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise wrong_type(path, "an array")
        if len(value) > limit:
            raise invalid(path, f"array too long. Expected an array with maximum length {limit}.")
        return [check(one, f"{path}[{index}]") for index, one in enumerate(value)]

    return check_all


def mapping(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """An object with these fields and no others; fields that are not sent are not added."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object")
        for name in required:
            if name not in value:
                raise missing(_join(path, name))
        for name in value:
            if name not in fields:
                unknown = _join(path, name[:80])
                raise RequestError(f"Unknown parameter: '{unknown}'.", code="unknown_parameter", param=unknown)
        return {name: fields[name](one, _join(path, name)) for name, one in value.items()}

    return check


def tagged(variants: Mapping[str, Check], tag: str = "type") -> Check:
    """An object whose field ``tag`` says which of the variants it is."""
    known = choice(*variants)

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object")
        if tag not in value:
            raise missing(f"{path}.{tag}")
        return variants[known(value[tag], f"{path}.{tag}")](value, path)

    return check


def flat(limit: int, key_length: int, value_length: int) -> Check:
    """An object of short strings by short names, such as ``metadata``."""
    key_check, value_check = text(key_length), text(value_length)

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object")
        if len(value) > limit:
            raise invalid(path, f"too many properties. Expected an object with at most {limit} properties.")
        pairs: Json = {}
        for name, one in value.items():
            key = key_check(name, path)
            pairs[key] = value_check(one, f"{path}.{key}")
        return pairs

    return check


def _join(path: str, name: str) -> str:
    """The path of a field; that of an event's own fields is their name."""
    return f"{path}.{name}" if path else name
