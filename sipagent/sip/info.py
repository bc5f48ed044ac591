"""Keys that come, and go, in INFO: ``application/dtmf-relay`` and ``application/dtmf``.

No RFC has ever described them; Cisco began it, and PBXs speak it where RTP can't carry keys (:rfc:`6086#section-2`).
"""

import re

from sipagent.errors import RemoteProtocolError
from sipagent.sip.message import Request

RELAY = "application/dtmf-relay"
"""``Signal=5`` and ``Duration=160``, a line each."""

PLAIN = "application/dtmf"
"""The key and nothing else."""

BODY_MAX = 256
"""Octets of such a body: two short lines."""

DIGITS = "0123456789*#ABCD"

DURATION_MS = 160
"""How long a key of ours is said to be held: what others say."""

_SIGNAL = re.compile(rb"(?:\A|[\r\n])[ \t]*Signal[ \t]*=[ \t]*([^ \t\r\n]{1,8})", re.IGNORECASE)
_NUMBERS = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
"""What some write instead of the character: the event's number (:rfc:`4733#section-3.2`)."""


def read_digit(request: Request) -> str:
    """Return the key of an INFO; nothing for one without a body, and for a hook flash, which presses none.

    :raises RemoteProtocolError: 415 for a body of another type, 400 for one that holds no key.
    """
    if not request.body:
        return ""
    relay, plain = request.content(RELAY), request.content(PLAIN)
    if request.headers.get("Content-Type") is None or (relay is None and plain is None):
        raise RemoteProtocolError("not a key", status=415)
    body = plain if relay is None else relay
    if body is None or len(body) > BODY_MAX:
        raise RemoteProtocolError("too long for a key")
    match = _SIGNAL.search(body)
    signal = (match[1] if match else body.strip()).decode("latin-1").upper()
    if signal in ("16", "!", "FLASH"):
        return ""
    digit = _NUMBERS.get(signal, signal)
    if len(digit) != 1 or digit not in DIGITS:
        raise RemoteProtocolError("no such key")
    return digit


def write_digit(digit: str) -> bytes:
    """Write the body of an INFO that presses a key."""
    return f"Signal={digit}\r\nDuration={DURATION_MS}\r\n".encode()
