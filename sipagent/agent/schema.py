"""From a function's signature to a JSON Schema and a validator of arguments; the one and the other from the same type.

The hints may be anything that msgspec can read from JSON: numbers, strings, ``Optional``, ``Literal``, ``list``,
``dict``, enums, dataclasses, dates, and ``Annotated`` with a description or a ``msgspec.Meta``.
"""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

MAX_DEPTH = 16
"""A type that nests deeper, or contains itself, cannot be written out for a model."""


class Arguments:
    """The parameters of a function that a model fills in.

    :param injected: a type; the parameter of that type is filled in by us and not shown to the model.
    :raises TypeError: the signature cannot be shown to a model; the message says which parameter and why.
    """

    def __init__(self, function: Callable[..., Any], descriptions: Mapping[str, str], *, injected: type) -> None:
        self.injected_name: str | None = None
        """The parameter we fill in."""
        self.schema: dict[str, Any]
        """The JSON Schema of one object with a property for each of the others."""
        self._never_null: set[str] = set()
        fields: list[Any] = []
        hints = _hints(function)
        try:
            for name, parameter in signature(function).parameters.items():
                if injected in (hints.get(name), *get_args(hints.get(name))):
                    self.injected_name = name
                else:
                    fields.append(self._field(name, parameter, hints, descriptions.get(name)))
            self._type = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
            self.schema = _schema(self._type)
        except (TypeError, RecursionError) as error:
            raise TypeError(f"a model cannot fill in the parameters: {error}") from error

    def _field(self, name: str, parameter: Parameter, hints: Mapping[str, Any], description: str | None) -> Any:
        if parameter.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            raise TypeError(f"{name} cannot be given by name")
        if name not in hints:
            raise TypeError(f"{name} needs a type hint, from which the model learns what to send")
        hint = _described(hints[name], description)
        if parameter.default is Parameter.empty:
            return name, hint
        if not _admits_null(hint):
            self._never_null.add(name)
        return name, hint, _default(parameter)

    def convert(self, values: dict[str, Any]) -> dict[str, Any]:
        """Turn values read from JSON into what the hints say.

        As models do, a number may be given as a string, and null for a parameter left out.

        :raises ValueError: they don't fit; the message names the parameter.
        """
        given = {name: value for name, value in values.items() if value is not None or name not in self._never_null}
        converted = msgspec.convert(given, self._type, strict=False)
        return {name: getattr(converted, name) for name in given}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"a type hint names something that is not defined at module level: {error}") from error


def _admits_null(hint: Any) -> bool:
    try:
        msgspec.convert(None, hint)
    except msgspec.ValidationError:
        return False
    return True


def _described(hint: Any, description: str | None) -> Any:
    """The hint with its description: one in ``Annotated`` wins over the docstring's."""
    if get_origin(hint) is Annotated:
        bare, *extras = get_args(hint)
        texts = [each for each in extras if isinstance(each, str)]
        metas = [each for each in extras if isinstance(each, msgspec.Meta)]
        hint = Annotated[(bare, *metas)] if metas else bare
        if any(each.description for each in metas):
            return hint
        description = texts[0] if texts else description
    return Annotated[hint, msgspec.Meta(description=description)] if description else hint


def _default(parameter: Parameter) -> Any:
    """The default as the schema shows it; one that JSON cannot carry is not shown."""
    try:
        msgspec.json.encode(parameter.default)
    except TypeError:
        return msgspec.field(default_factory=lambda: parameter.default)
    if isinstance(parameter.default, list | dict | set):
        return msgspec.field(default_factory=lambda: parameter.default)
    return parameter.default


def _schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    (whole,), definitions = msgspec.json.schema_components([struct], schema_hook=_refuse_type, ref_template="{name}")
    schema: dict[str, Any] = _inlined(whole, definitions, 0)
    schema.pop("title", None)
    return schema


def _refuse_type(unknown: type) -> dict[str, Any]:
    raise TypeError(f"JSON has nothing like {unknown.__name__}")


def _inlined(schema: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    """The schema with its references written out: not every model follows them."""
    if depth > MAX_DEPTH:
        raise TypeError("a type contains itself, or is nested too deep")
    if isinstance(schema, list):
        return [_inlined(each, definitions, depth) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _inlined(definitions[schema["$ref"]], definitions, depth + 1) | rest
    return {key: _inlined(value, definitions, depth) for key, value in schema.items()}
