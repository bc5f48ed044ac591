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
_CONTENT_TYPE = re.compile(rb"(?:\A|\r\n)(?:Content-Type|c)[ \t]*+:((?>(?:[^\r\n]++|\r\n[ \t])*))", re.IGNORECASE)
_DISPOSITION = re.compile(rb"(?:\A|\r\n)Content-Disposition[ \t]*+:((?>(?:[^\r\n]++|\r\n[ \t])*))", re.IGNORECASE)
_OPTIONAL = re.compile(r";[ \t]*+handling[ \t]*+=[ \t]*+optional[ \t]*+(?:;|\Z)", re.IGNORECASE)
_PADDING = re.compile(rb"[ \t]*+\r\n")


def media_type(content_type: str) -> str:
    """Return ``type/subtype`` of a Content-Type in lower case, without white space and parameters."""
    return re.sub(r"[ \t\r\n]++", "", content_type.partition(";")[0]).lower()


def is_optional(disposition: str) -> bool:
    """Whether a Content-Disposition lets those who don't know the body go without it (:rfc:`3261#section-20.11`)."""
    return _OPTIONAL.search(disposition) is not None


def find_part(body: bytes, content_type: str, wanted: str) -> bytes | None:
    """Return the content of the first part whose media type is ``wanted``.

    :return: empty where there is none but no part needs to be understood; ``None`` where one does.
    :param content_type: of the whole, with its boundary.
    """
    match = _PARAMETERS.fullmatch(content_type)
    boundary = (match and parse_generic_params(match[1]).get("boundary")) or ""
    if not 0 < len(boundary) <= BOUNDARY_MAX:
        return None
    handling = set()
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    for part in (b"\r\n" + body).split(delimiter, PARTS_MAX + 1)[1 : PARTS_MAX + 1]:
        if part.startswith(b"--"):
            break
        padding = _PADDING.match(part)
        if padding is None:
            continue
        head, _, content = part[padding.end() - 2 :].partition(b"\r\n\r\n")
        if _part_type(head) == wanted:
            return content
        handling.add(_is_part_optional(head))
    return b"" if handling == {True} else None


def _is_part_optional(head: bytes) -> bool:
    match = _DISPOSITION.search(head)
    return match is not None and is_optional(match[1].decode("latin-1"))


def _part_type(head: bytes) -> str:
    match = _CONTENT_TYPE.search(head)
    return media_type(match[1].decode("latin-1")) if match else "text/plain"
