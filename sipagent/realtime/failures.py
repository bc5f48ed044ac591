"""What an error of the server means for the call, as tables: the code decides, else the words, else the type.

The Realtime API says that most errors are recoverable and leave the session open; the exceptions are listed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

from sipagent.realtime.events import FailureKind
from sipagent.realtime.protocol import MAX_MESSAGE_CHARACTERS, text


class ErrorClass(Enum):
    """What to do about an error."""

    BENIGN = auto()
    """A race that harms nothing."""
    INVALID = auto()
    """The server refused a command of ours and the session goes on; while it is being set up it is over, for good."""
    TRANSIENT = auto()
    """A bad moment; the session goes on. While it is being set up it is over, and worth another try."""
    EXPIRED = auto()
    """The session is over; a new one will do."""
    FATAL = auto()
    """The session is over, and a new one will fail as well until a person acts."""


ACCOUNT_CODES = frozenset(
    {
        "invalid_api_key",
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "account_deactivated",
        "401",
        "402",
        "403",
    }
)
"""Of the API, and of HTTP where it refused the connection."""

CODES = {
    "conversation_already_has_active_response": ErrorClass.BENIGN,
    "response_cancel_not_active": ErrorClass.BENIGN,
    "input_audio_buffer_commit_empty": ErrorClass.BENIGN,
    "item_create_duplicate_item_id": ErrorClass.INVALID,
    "invalid_value": ErrorClass.INVALID,
    "unknown_parameter": ErrorClass.INVALID,
    "missing_required_parameter": ErrorClass.INVALID,
    "invalid_event": ErrorClass.INVALID,
    "rate_limit_exceeded": ErrorClass.TRANSIENT,
    "inference_rate_limit_exceeded": ErrorClass.TRANSIENT,
    "server_error": ErrorClass.TRANSIENT,
    "session_expired": ErrorClass.EXPIRED,
    "beta_api_shape_disabled": ErrorClass.FATAL,
    "invalid_api_key": ErrorClass.FATAL,
    "insufficient_quota": ErrorClass.FATAL,
    "credit_balance_exhausted": ErrorClass.FATAL,
    "billing_hard_limit_reached": ErrorClass.FATAL,
    "account_deactivated": ErrorClass.FATAL,
    "model_not_found": ErrorClass.FATAL,
}

WORDS = (
    ("already shorter than", ErrorClass.BENIGN),  # a truncate past the end; its code, invalid_value, says less
    ("already has an active response", ErrorClass.BENIGN),
    ("no active response found", ErrorClass.BENIGN),
    ("expected at least 100ms of audio", ErrorClass.BENIGN),
    ("maximum duration", ErrorClass.EXPIRED),
    ("realtime beta api is no longer supported", ErrorClass.FATAL),
    ("incorrect api key", ErrorClass.FATAL),
    ("invalid_api_key", ErrorClass.FATAL),  # a close reason is often a code behind a prefix
    ("exceeded your current quota", ErrorClass.FATAL),
    ("insufficient_quota", ErrorClass.FATAL),
    ("rate limit", ErrorClass.TRANSIENT),
)
"""Substrings of the message in lower case, for codes null, foreign or too general; the first that fits."""

TYPES = {
    "invalid_request_error": ErrorClass.INVALID,
    "authentication_error": ErrorClass.FATAL,
    "server_error": ErrorClass.TRANSIENT,
}

CLOSE_CODES = {
    401: ErrorClass.FATAL,
    402: ErrorClass.FATAL,
    403: ErrorClass.FATAL,
    404: ErrorClass.FATAL,
    1001: ErrorClass.EXPIRED,
    3000: ErrorClass.FATAL,  # unauthorized, by IANA's registry
    3003: ErrorClass.FATAL,  # forbidden
    4000: ErrorClass.FATAL,  # how OpenAI closes on a client of the Beta shape
}
"""WebSocket close codes, and below 1000 the HTTP status that refused the handshake; the others are worth a retry."""


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """What the errors of one kind of server mean, where it says them in words of its own; asked before the others."""

    codes: Mapping[str, ErrorClass] = field(default_factory=lambda: MappingProxyType({}))
    words: tuple[tuple[str, ErrorClass], ...] = ()
    """Substrings of the message in lower case; the first that fits."""


OWN_ERRORS = ErrorTable()
"""Of a server that has no words of its own."""

HARMLESS_COMMANDS = frozenset({"truncate", "delete", "clear"})
"""An error in answer to one of these changes nothing that the caller could hear."""


def classify(error: dict[str, Any], command: str = "", *, own: ErrorTable = OWN_ERRORS) -> ErrorClass:
    """Class an error object of the server (``type``, ``code``, ``message``).

    :param command: what the error answers, as the name in our event id; ``""`` when it does not say.
    :param own: what this kind of server says in its own words.
    """
    message = text(error, "message").lower()
    code = text(error, "code")
    by_code = own.codes.get(code) or CODES.get(code)
    by_words = next((each for words, each in (*own.words, *WORDS) if words in message), None)
    if command in HARMLESS_COMMANDS and by_code in (None, ErrorClass.INVALID):
        return ErrorClass.BENIGN
    if by_code is ErrorClass.INVALID and by_words is not None:
        return by_words
    return by_code or by_words or TYPES.get(text(error, "type"), ErrorClass.TRANSIENT)


def classify_close(code: int, reason: str, *, own: ErrorTable = OWN_ERRORS) -> ErrorClass:
    """Class the end of a connection, whose reason may say more than its code."""
    words = reason.lower()
    known = (each for each in (*own.words, *WORDS) if each[1] is not ErrorClass.BENIGN)
    by_words = next((meaning for substring, meaning in known if substring in words), None)
    return by_words or CLOSE_CODES.get(code, ErrorClass.TRANSIENT)


def describe_loss(code: int, reason: str, *, own: ErrorTable = OWN_ERRORS) -> tuple[FailureKind, str]:
    """The class of the end of a connection, and a sentence about it.

    :param code: the WebSocket's close code (1006 when there was none), or the HTTP status that refused it, or 0 when
        there was no answer at all.
    """
    kind = failure_kind(classify_close(code, reason, own=own))
    what = "closed the connection" if code >= 1000 else "refused the connection" if code else "cannot be reached"
    said = f": {reason[:MAX_MESSAGE_CHARACTERS]}" if reason else ""
    return kind, f"the model {what} ({code}){said}"


def concerns_account(code: str | None) -> bool:
    """Whether this code, as of a failed session, is about the key or the account: every session would fail alike."""
    return code in ACCOUNT_CODES


def means_busy(error: dict[str, Any]) -> bool:
    """Whether a response was refused because another one is active."""
    return (
        error.get("code") == "conversation_already_has_active_response"
        or "already has an active response" in text(error, "message").lower()
    )


def means_nothing_to_cancel(error: dict[str, Any]) -> bool:
    """Whether a cancellation came after the end of its response."""
    return (
        error.get("code") == "response_cancel_not_active"
        or "no active response found" in text(error, "message").lower()
    )


def failure_kind(error_class: ErrorClass) -> FailureKind:
    """The same, in the two words that outputs use."""
    return "fatal" if error_class in (ErrorClass.FATAL, ErrorClass.INVALID) else "transient"
