"""Logs as events with fields: one event, one line, for people or for machines.

Whatever a stranger sent may be a field: control characters and the like are escaped, long values are cut, secrets are
masked. Bind the call's id once, ``log = get_logger(call=call.id)``, and every event of the call bears it.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Protocol, TextIO, cast

import structlog

MAX_CHARACTERS = 2_000
"""More of one value is cut: a SIP message fits, a flood of audio in JSON does not."""

MAX_ITEMS = 50
"""More items of one value are cut."""

MAX_DEPTH = 4
"""Values that are nested deeper are not shown."""

LIBRARIES_LEVEL = logging.WARNING
"""From here on we log what the libraries say, even if our own level is lower."""

MASK = "***"

SECRET_NAMES = re.compile(r"api_?key|authorization|password|secret|token(?!s)", re.IGNORECASE)
"""Fields whose values are masked whatever they are."""

SECRETS = re.compile(
    r"""
    (?P<header> (?:proxy-)?authorization["']? [ \t]* [:=] [ \t]* ["']? ) [^\r\n"']* (?: "[^\r\n"]*" [^\r\n"']* )* |
    (?P<scheme> \b bearer [ ]+ ) [^\s"',;]+ |
    (?P<key> (?: api_?key | password | secret ) ["']? [ ]* [:=] [ ]* ["']? ) [^\s"',;&]+ |
    \b (?: sk | ek ) [-_] [-\w]{8,}
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What looks like a secret inside a text: credentials in SIP and HTTP headers, and the keys of OpenAI."""

MARKS = re.compile(r"[:= ]|[se]k[-_]", re.IGNORECASE)
"""What every text with a secret in it has, and most fields of a call have not."""

HARMFUL = (
    *range(0x20),  # C0: line ends, ESC, NUL
    *range(0x7F, 0xA0),  # DEL and C1, where a terminal finds a second ESC
    0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),  # what turns the direction of writing
    0x2028, 0x2029,  # line ends to some readers
    *range(0xD800, 0xE000),  # halves of characters, which no encoding takes
)  # fmt: skip

ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in HARMFUL} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}

PLAIN_TEXT = re.compile(r"""[^\s"'=]+""")
"""What needs no quotes on a line of ``name=value``."""

COLOURS = {"debug": "\x1b[2m", "info": "", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
PLAIN = "\x1b[0m"

Event = MutableMapping[str, Any]


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Write a line."""

    def flush(self) -> object:
        """Have it read."""

    def isatty(self) -> bool:
        """Whether a person is looking."""


def set_up(
    *,
    level: str,
    style: str,
    secrets: Iterable[str] = (),
    stream: Stream | None = None,
    fields: Mapping[str, object] | None = None,
) -> None:
    """Set logging up for the whole process; the last set-up counts.

    :param level: ``debug``, ``info``, ``warning`` or ``error``.
    :param style: ``console``, ``json``, or ``auto``: console on a terminal, else JSON.
    :param secrets: texts to be masked wherever they appear.
    :param stream: where the lines go; standard error by default.
    :param fields: what every event bears.
    """
    stream = stream or sys.stderr
    if style == "auto":
        style = "console" if stream.isatty() else "json"
    number = logging.getLevelNamesMapping()[level.upper()]
    always = dict(fields or {})
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            lambda _logger, _method, event: {**event, **always},
            _ExceptionFields(with_traceback=style == "json"),
            Cleaner(secrets),
            render_json if style == "json" else ConsoleRenderer(in_colour=stream.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stream)),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forwarder()]
    root.setLevel(max(number, LIBRARIES_LEVEL))


def get_logger(**fields: object) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose every event bears these fields."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


class Cleaner:
    """Makes every value of an event fit to be shown."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted((re.escape(secret) for secret in secrets if secret), key=len, reverse=True)
        self._known = re.compile("|".join(known)) if known else None

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        """Clean an event in place; its field names are clean, they are ours."""
        for name, value in event.items():
            event[name] = self.clean(value, name)
        return event

    def clean(self, value: object, name: str = "", depth: int = 0) -> object:
        """Return the value as JSON knows it: masked, cut and escaped."""
        if value is None:
            return None
        if SECRET_NAMES.search(name) if depth else _is_secret(name):
            return MASK
        match value:
            case str():
                return self.clean_text(str(value))
            case int() | float():
                return value
            case Mapping() | list() | tuple() | set() | frozenset() if depth == MAX_DEPTH:
                return "…"
            case Mapping():
                items = list(value.items())[:MAX_ITEMS]
                return {self.clean_text(str(key)): self.clean(item, str(key), depth + 1) for key, item in items}
            case list() | tuple() | set() | frozenset():
                return [self.clean(item, "", depth + 1) for item in list(value)[:MAX_ITEMS]]
            case bytes() | bytearray():
                return self.clean_text(value.decode("utf-8", "backslashreplace"))
            case _:
                return self.clean_text(str(value))

    def clean_text(self, text: str) -> str:
        """Return the text masked, cut and escaped."""
        # Masking looks a little further than the cut, so that none of a secret that lies across it remains.
        shown = text[: 2 * MAX_CHARACTERS]
        if self._known is not None:
            shown = self._known.sub(MASK, shown)
        if MARKS.search(shown):
            shown = SECRETS.sub(_mask, shown)
        if len(text) > MAX_CHARACTERS:
            shown = f"{shown[:MAX_CHARACTERS]}… ({len(text)} characters)"
        return shown if shown.isprintable() else shown.translate(ESCAPES)


class ConsoleRenderer:
    """One line for people: time, level, what happened, and its fields."""

    def __init__(self, *, in_colour: bool) -> None:
        self._in_colour = in_colour

    def __call__(self, _logger: object, _method: str, event: Event) -> str:
        """Return the line, without its end."""
        level = event.pop("level")
        time = event.pop("timestamp")[11:23]
        what = event.pop("event")
        fields = "".join(f"  {name}={_quote(value)}" for name, value in event.items())
        line = f"{time} {level:<7} {what}{fields}"
        return f"{COLOURS[level]}{line}{PLAIN}" if self._in_colour and COLOURS[level] else line


def render_json(_logger: object, _method: str, event: Event) -> str:
    """Return one JSON object: time, level, what happened, and its fields."""
    head = {"time": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event")}
    return _encode(head | dict(event))


_encode = json.JSONEncoder(ensure_ascii=False).encode


class _ExceptionFields:
    """Turns ``exc_info`` into ``error``, what went wrong, and ``at``, where; and the whole traceback for machines."""

    def __init__(self, *, with_traceback: bool) -> None:
        self._with_traceback = with_traceback

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        error = event.pop("exc_info", None)
        if error is True:
            error = sys.exc_info()[1]
        if isinstance(error, tuple):
            error = error[1]
        if isinstance(error, BaseException):
            frames = traceback.extract_tb(error.__traceback__)[-5:]
            event["error"] = f"{type(error).__name__}: {error}"
            event["at"] = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
            if self._with_traceback:
                event["traceback"] = "".join(traceback.format_exception(error))
        return event


class _Forwarder(logging.Handler):
    """Brings what libraries log by the standard library's logging to the same place."""

    def emit(self, record: logging.LogRecord) -> None:
        write: Callable[..., object] = getattr(get_logger(), record.levelname.lower(), get_logger().warning)
        write("library_said", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    """Whether a field of this name, which is ours, is masked."""
    return SECRET_NAMES.search(name) is not None


def _mask(match: re.Match[str]) -> str:
    return (match["header"] or match["scheme"] or match["key"] or "") + MASK


def _quote(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not text or not PLAIN_TEXT.fullmatch(text):
        return '"' + text.replace('"', '\\"') + '"'  # or what a caller says could look like a field of ours
    return text
