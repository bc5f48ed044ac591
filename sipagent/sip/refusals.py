"""What is wrong with a request that is well formed, and the response that says so (:rfc:`3261#section-8.2`)."""

from typing import TypeAlias

from sipagent.sip.core import ALLOW, CONTENT_TYPE, SUPPORTED, HeaderList
from sipagent.sip.line import Line, timer_settings
from sipagent.sip.message import Request
from sipagent.sip.session_timer import OPTION_TAG, SessionTimer

METHODS = frozenset(ALLOW.split(", "))

KNOWN_METHODS = frozenset({"REGISTER", "SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "INFO", "PUBLISH"})
"""Methods that exist: 405 where we don't serve them; what is in no RFC is 501 (:rfc:`3261#section-8.2.1`)."""

DESCRIBING = frozenset({"INVITE", "UPDATE", "PRACK"})
"""The requests that may bring a session description."""

SCHEMES = frozenset({"sip", "sips", "tel"})
"""What a Request-URI may be; others are 416 (:rfc:`3261#section-8.2.2.1`)."""

SDP_RANGES = frozenset({CONTENT_TYPE, "application/*", "*/*"})
"""The media ranges of Accept that a session description fits."""

Refusal: TypeAlias = tuple[int, HeaderList]


def find_refusal(request: Request) -> Refusal | None:
    """Say what is wrong with a request that is well formed, if something is (:rfc:`3261#section-8.2`)."""
    if request.method not in METHODS:
        return (405 if request.method in KNOWN_METHODS else 501), [("Allow", ALLOW)]
    if request.uri.scheme not in SCHEMES:
        return 416, ()
    unsupported = [tag for tag in request.require if tag.lower() not in SUPPORTED.split(", ")]
    if unsupported:
        return 420, [("Unsupported", ", ".join(unsupported))]
    if request.method in DESCRIBING:
        return _session_refusal(request)
    return None


def find_timer_refusal(request: Request, line: Line | None) -> Refusal | None:
    """Say why a line does not take the session timer of a new call, if it does not (:rfc:`4028#section-9`)."""
    settings = timer_settings(line)
    if settings.mode == "off" and OPTION_TAG in map(str.lower, request.require):
        return 420, [("Unsupported", OPTION_TAG)]
    min_se = SessionTimer(settings).refuses(request)
    return None if min_se is None else (422, min_se)


def _session_refusal(request: Request) -> Refusal | None:
    """Judge a body, and what may come back (:rfc:`3261#section-8.2.3`)."""
    if request.content(CONTENT_TYPE) is None:
        return 415, [("Accept", CONTENT_TYPE), ("Accept-Encoding", "identity")]
    ranges = [value.partition(";")[0].strip().lower() for value in request.headers.get_all("Accept")]
    if ranges and SDP_RANGES.isdisjoint(ranges):
        return 406, [("Warning", '399 sipagent "only session descriptions are served"')]
    return None
