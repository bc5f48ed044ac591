"""A tool that is an HTTP request: what is sent for a model's arguments, and what of the answer the model is told.

The model fills in arguments and nothing else: the host is the configuration's, and an argument in the path or the query
is escaped, so that it can lead nowhere else. Headers, which may hold keys, are shown in no error and no ``repr``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from sipagent.agent.tools import CallInfo, ToolError

PLACE: Final = re.compile(r"\{(?P<name>[A-Za-z_][\w.]*)\}")
"""Where an argument goes: ``{order}``; ``{call.caller}`` is one of :data:`FACTS`."""

FACTS: Final = frozenset({"call.id", "call.caller", "call.called", "call.agent"})
"""What a request may tell of the call besides."""

WITHOUT_BODY: Final = frozenset({"GET", "DELETE"})

MAX_ANSWER_BYTES: Final = 1 << 20
"""Of an answer that is read; whoever sends more sends no answer to a question on the telephone."""

MAX_REASON: Final = 300
"""Characters of what a service says when it refuses: enough for a sentence."""

REASONS: Final[Mapping[int, str]] = {
    400: "it did not understand the request",
    401: "it does not let us in",
    403: "it does not let us do that",
    404: "it knows nothing of the kind",
    409: "it says that this contradicts what it has",
    422: "it did not accept what it was given",
    429: "it is asked too much at the moment",
}

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class HttpToolSettings:
    """What a request is like."""

    name: str
    url: str
    """With ``{argument}`` in its path or its query."""
    method: Method = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = None
    """What is sent as JSON, with ``{argument}`` in its texts; ``None``: all arguments, where the method has a body."""
    answer: str = ""
    """A JSON pointer to what the model is told; empty for all of it."""
    max_characters: int = 4_000
    """Of that; what is beyond is cut off."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


def check_template(settings: HttpToolSettings, parameters: Mapping[str, Any]) -> None:
    """See that every argument that the request wants is one that the model gives.

    :param parameters: the properties of the tool's schema.
    :raises ValueError: with what is wrong.
    """
    parts = urlsplit(settings.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address after https:// or http://")
    if not settings.url.isascii() or any(letter.isspace() for letter in settings.url):
        raise ValueError("expected an address with everything but letters, digits and its signs escaped")
    if PLACE.search(parts.netloc):
        raise ValueError("an argument can't choose the host")
    places = PLACE.findall(parts.path + "?" + parts.query) + _places(settings.body)
    unknown = sorted(set(places) - FACTS - parameters.keys())
    if unknown:
        raise ValueError(f"there is no parameter {unknown[0]}")


def make_request(settings: HttpToolSettings, arguments: Mapping[str, Any], call: CallInfo) -> HttpRequest:
    """Write out the request.

    :raises ToolError: an argument can't go where it belongs; a sentence for the model.
    """
    facts = {"call.id": call.call_id, "call.caller": call.caller, "call.called": call.called, "call.agent": call.agent}
    values = facts | dict(arguments)
    parts = urlsplit(settings.url)
    path = "/".join(_fill_segment(segment, values) for segment in parts.path.split("/"))
    query = "&".join(filter(None, (_fill_pair(pair, values) for pair in parts.query.split("&"))))
    url = urlunsplit((parts.scheme, parts.netloc, path, query, ""))
    if settings.method in WITHOUT_BODY:
        return HttpRequest(settings.method, url, settings.headers)
    content = dict(arguments) if settings.body is None else _fill_body(settings.body, values)
    headers = {"Content-Type": "application/json"} | dict(settings.headers)
    return HttpRequest(settings.method, url, headers, msgspec.json.encode(content))


def read_answer(settings: HttpToolSettings, status: int, body: bytes) -> str:
    """Return what the model is told.

    :raises ToolError: the service refused, or its answer is not what it was to be; a sentence for the model.
    """
    text = body.decode("utf-8", "replace").strip()
    if not 200 <= status < 300:
        raise ToolError(f"The service {settings.name} failed: {_explain(status)}.{_said(text)}")
    if settings.answer:
        text = _pick(settings, text)
    if not text:
        return "Done."
    limit = settings.max_characters
    return text if len(text) <= limit else text[:limit] + " (cut)"


def _fill_segment(segment: str, values: Mapping[str, Any]) -> str:
    """A part of the path; ``..`` would climb out of it, and nothing in it would be another address."""

    def fill(match: re.Match[str]) -> str:
        if match["name"] not in values:
            raise ToolError(f"The argument {match['name']} is missing.")
        return quote(_text(values[match["name"]]), safe="")

    filled = PLACE.sub(fill, segment)
    if filled != segment and filled in ("", ".", ".."):
        raise ToolError("An argument is empty, or is no name.")
    return filled


def _fill_pair(pair: str, values: Mapping[str, Any]) -> str:
    """A part of the query; without its argument it is left out."""
    if any(name not in values for name in PLACE.findall(pair)):
        return ""
    return PLACE.sub(lambda match: quote(_text(values[match["name"]]), safe=""), pair)


def _fill_body(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its arguments; a text that is one place only becomes the argument as it is."""
    match template:
        case dict():
            return {key: _fill_body(each, values) for key, each in template.items() if not _lacks(each, values)}
        case list():
            return [_fill_body(each, values) for each in template if not _lacks(each, values)]
        case str() if (whole := PLACE.fullmatch(template)) is not None:
            return values[whole["name"]]
        case str():
            return PLACE.sub(lambda match: _text(values.get(match["name"], "")), template)
        case _:
            return template


def _lacks(template: Any, values: Mapping[str, Any]) -> bool:
    """Whether it is the place of an argument that was not given."""
    place = PLACE.fullmatch(template) if isinstance(template, str) else None
    return place is not None and place["name"] not in values


def _places(template: Any) -> list[str]:
    match template:
        case dict():
            return [name for each in template.values() for name in _places(each)]
        case list():
            return [name for each in template for name in _places(each)]
        case str():
            return PLACE.findall(template)
        case _:
            return []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _pick(settings: HttpToolSettings, text: str) -> str:
    try:
        found = msgspec.json.decode(text)
        for step in settings.answer.lstrip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ToolError(f"The service {settings.name} answered, but not with what was asked for.") from None
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


def _explain(status: int) -> str:
    if status in REASONS:
        return REASONS[status]
    if status >= 500:
        return "it has a problem of its own at the moment"
    return "it sent us elsewhere" if 300 <= status < 400 else f"it answered with status {status}"


def _said(text: str) -> str:
    """What it said itself, if that is short enough to be meant for somebody, and is no page for a browser."""
    words = " ".join(text.split())
    return f" It says: {words[:MAX_REASON]}" if words and not words.startswith("<") else ""
