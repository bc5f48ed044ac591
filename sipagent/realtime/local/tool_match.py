"""Which tool a phrase asks for, by the words of its name and description; and its arguments, by its JSON Schema."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

COMMON = frozenset(
    {"a", "about", "an", "and", "any", "are", "as", "at", "be", "by", "call", "caller", "can", "check", "do", "find"}
    | {"for", "from", "get", "give", "has", "have", "he", "how", "i", "if", "in", "is", "it", "its", "look", "lookup"}
    | {"me", "my", "of", "on", "or", "our", "please", "run", "set", "she", "that", "the", "their", "them", "this", "to"}
    | {"tell", "up", "use", "user", "was", "we", "what", "when", "where", "which", "will", "with", "would", "you"}
    | {"your"}
)
"""Words that say nothing about which tool is meant."""
MIN_SHARED = 2
"""Words a phrase must share with name and description together, when it does not hold all of the name's."""
MAX_PROPERTIES = 32
"""Arguments that are filled in; a tool with more is no tool for a telephone."""
MAX_WORDS = 200
"""Words of a text that are looked at."""

_WORD = re.compile(r"[a-z0-9']+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; names like ``look_up`` come apart."""
    return [match.group() for match in _WORD.finditer(text.lower())][:MAX_WORDS]


def find_tool(text: str, tools: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The tool that fits best: all telling words of its name are in the text, or two of name and description are."""
    said = {_stem(word) for word in words_of(text)} - COMMON
    best, best_score = None, 0
    for tool in tools:
        name = {_stem(word) for word in words_of(tool["name"])} - COMMON
        described = {_stem(word) for word in words_of(tool.get("description") or "")} - COMMON
        shared = len(said & (name | described))
        score = shared + 10 if name and name <= said else shared if shared >= MIN_SHARED else 0
        if score > best_score:
            best, best_score = tool, score
    return best


def fill_arguments(tool: Mapping[str, Any], text: str, context: str) -> dict[str, Any]:
    """Arguments from what was said: every required one, and the optional ones that the text names a value for.

    :param context: words that hold where the text does not choose among the values of a required argument.
    """
    schema = tool.get("parameters")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(schema, Mapping) or not isinstance(properties, Mapping):
        return {}
    listed = schema.get("required")
    required = listed if isinstance(listed, list) else []
    arguments: dict[str, Any] = {}
    for name, kind in list(properties.items())[:MAX_PROPERTIES]:
        value = _find_value(kind if isinstance(kind, Mapping) else {}, text, context, is_required=name in required)
        if value is not None:
            arguments[name] = value
    return arguments


def _find_value(kind: Mapping[str, Any], text: str, context: str, *, is_required: bool) -> Any:
    options = kind.get("enum")
    if isinstance(options, list) and options:
        named = _find_option(options, text)
        return (_find_option(options, context) or options[0]) if named is None and is_required else named
    match kind.get("type"):
        case "integer" | "number":
            number = _find_number(text, whole=kind["type"] == "integer")
            return number if number is not None or not is_required else 0
        case "boolean":
            return True if is_required else None
        case "array":
            return [] if is_required else None
        case "object":
            return {} if is_required else None
        case _:
            return text if is_required else None


def _find_option(options: list[Any], text: str) -> Any:
    """The first option all of whose words are in the text."""
    said = set(words_of(text))
    return next((one for one in options if said.issuperset(words_of(str(one)) or [""])), None)


def _find_number(text: str, *, whole: bool) -> int | float | None:
    match = _NUMBER.search(text)
    if match is not None:
        digits = match.group()[:15]
        return int(float(digits)) if whole else float(digits)
    return next((NUMBER_WORDS.index(word) for word in words_of(text) if word in NUMBER_WORDS), None)


def _stem(word: str) -> str:
    """Enough to let ``orders`` meet ``order``."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
