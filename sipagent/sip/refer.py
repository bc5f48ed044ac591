"""What REFER and its NOTIFY hold (:rfc:`3515`): whom to call, on whose word, and what has come of it."""

import re
from dataclasses import dataclass, replace

from sipagent.errors import RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.headers import Headers, NameAddr, parse_generic_params
from sipagent.sip.message import REASONS, Request
from sipagent.sip.replaces import Replaces
from sipagent.sip.uri import NO_PARAMETERS, Parameters, Uri

EVENT = "refer"
"""The one event package that we know, and only with a subscription that a REFER made."""

SIPFRAG = "message/sipfrag"
SIPFRAG_TYPE = "message/sipfrag;version=2.0"

SECONDS_MAX = 2**31 - 1

_STATUS_LINE = re.compile(rb"SIP/2\.0 +([1-6][0-9]{2})(?: ([^\r\n]{0,200}))?", re.IGNORECASE)
_EVENT = re.compile(rf"({grammar.TOKEN})({grammar.GENERIC_PARAMS})")


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Whom a REFER sends us to."""

    target: Uri
    """Without the header fields that came in it."""
    replaces: Replaces | None = None
    """The call of the target's that ours is to take the place of: an attended transfer."""

    @classmethod
    def of_request(cls, request: Request) -> "ReferTo":
        """Read the Refer-To.

        :raises RemoteProtocolError: when there is none, more than one (:rfc:`3515#section-2.4.2`), or not to a call.
        """
        fields = request.headers.get_fields("Refer-To")
        if len(fields) != 1:
            raise RemoteProtocolError("not one Refer-To")
        uri = NameAddr.parse(fields[0]).uri
        if (uri.parameters.get("method") or "INVITE").upper() != "INVITE":
            raise RemoteProtocolError("a REFER to something else than a call", status=403)
        wanted = [value for name, value in uri.headers if name.lower() == "replaces"]
        if len(wanted) > 1:
            raise RemoteProtocolError("more than one Replaces")
        target = replace(uri, headers=(), parameters=uri.parameters.without("method"))
        return cls(target, Replaces.parse(wanted[0]) if wanted else None)

    def __str__(self) -> str:
        headers = (*self.target.headers, *([("Replaces", str(self.replaces))] if self.replaces else []))
        return f"<{replace(self.target, headers=headers)}>"


def referred_by(headers: Headers) -> NameAddr | None:
    """Return who sent a caller to us (:rfc:`3892`); nothing proves it."""
    field = headers.get("Referred-By")
    try:
        return None if field is None else NameAddr.parse(field)
    except RemoteProtocolError:
        return None


def wants_no_subscription(headers: Headers) -> bool:
    """Whether a REFER, or the 2xx to one, says that there are to be no NOTIFYs (:rfc:`4488#section-4`)."""
    return headers.get("Refer-Sub", "true").partition(";")[0].strip(" \t").lower() == "false"


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """Whether more NOTIFYs are to come (:rfc:`6665#section-8.2.3`)."""

    state: str
    """``active``, ``pending`` or ``terminated``, in lower case."""
    expires_s: int | None = None
    reason: str = ""

    @classmethod
    def of_request(cls, headers: Headers) -> "SubscriptionState":
        """Read the field; a NOTIFY without one, as those of old gateways, is one of many.

        :raises RemoteProtocolError: when it is malformed.
        """
        match = _EVENT.fullmatch(headers.get("Subscription-State", "active"))
        if match is None:
            raise RemoteProtocolError("malformed Subscription-State")
        parameters = parse_generic_params(match[2])
        expires = parameters.get("expires")
        seconds = None if expires is None else grammar.parse_number(expires, SECONDS_MAX)
        return cls(match[1].lower(), seconds, (parameters.get("reason") or "").lower())

    def __str__(self) -> str:
        expires = "" if self.expires_s is None else f";expires={self.expires_s}"
        return self.state + expires + (f";reason={self.reason}" if self.reason else "")


def read_event(headers: Headers) -> tuple[str, Parameters]:
    """Return the package of an Event, in lower case, and its parameters; of a NOTIFY without one, nothing."""
    match = _EVENT.fullmatch(headers.get("Event", ""))
    return (match[1].lower(), parse_generic_params(match[2])) if match else ("", NO_PARAMETERS)


def read_sipfrag(request: Request) -> tuple[int, str] | None:
    """Return status and phrase of the status line that a NOTIFY carries (:rfc:`3420`), if it does."""
    body = request.content(SIPFRAG)
    match = _STATUS_LINE.match(body.lstrip(b"\r\n")) if body else None
    return (int(match[1]), grammar.printable((match[2] or b"").decode("utf-8", "replace"))) if match else None


def write_sipfrag(status: int) -> bytes:
    """Write a status line as the body of a NOTIFY."""
    return f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()
