"""Bodies of several parts (:rfc:`2046#section-5.1`, :rfc:`5621`): finding the first part of a type.

Only one level is read: what is nested deeper counts as a part of an unsupported type.
"""

import re

from sipagent.sip import grammar
from sipagent.sip.headers import parse_generic_params

PARTS_MAX = 16
"""A call's body has two or three parts; what follows the sixteenth is not looked at."""

BOUNDARY_MAX = 70
"""Characters in a boundary, as the RFC says."""

_PARAMETERS = re.compile(rf"[^;]*+({grammar.GENERIC_PARAMS})")
_CONTENT_TYPE = re.compile(rb"(?:\A|\r\n)(?:Content-Type|c)[ \t]*+:((?:[^\r\n]++|\r\n[ \t])*+)", re.IGNORECASE)
_PADDING = re.compile(rb"[ \t]*+\r\n")


def media_type(content_type: str) -> str:
    """Return ``type/subtype`` of a Content-Type in lower case, without white space and parameters."""
    return re.sub(r"[ \t\r\n]++", "", content_type.partition(";")[0]).lower()


def find_part(body: bytes, content_type: str, wanted: str) -> bytes | None:
    """Return the content of the first part whose media type is ``wanted``, or ``None``.

    :param content_type: of the whole, with its boundary.
    """
    match = _PARAMETERS.fullmatch(content_type)
    boundary = (match and parse_generic_params(match[1]).get("boundary")) or ""
    if not 0 < len(boundary) <= BOUNDARY_MAX:
        return None
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    for part in (b"\r\n" + body).split(delimiter, PARTS_MAX + 1)[1 : PARTS_MAX + 1]:
        if part.startswith(b"--"):
            return None
        padding = _PADDING.match(part)
        if padding is None:
            continue
        head, _, content = part[padding.end() - 2 :].partition(b"\r\n\r\n")
        if _part_type(head) == wanted:
            return content
    return None


def _part_type(head: bytes) -> str:
    match = _CONTENT_TYPE.search(head)
    return media_type(match[1].decode("latin-1")) if match else "text/plain"
