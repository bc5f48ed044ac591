"""The words of SIP (:rfc:`3261#section-25.1`): regular expressions named as in the RFC, composed by the other files.

They read header field values that are already unfolded, so white space is SP and HTAB. Every repetition whose
neighbours could match the same text is possessive (``*+``, ``++``): no input makes them backtrack, time is linear.
Where the grammar is wider than the RFC's, the comment says for whom.

A group is repeated within an atomic group and not possessively: when the last repetition fails halfway, Python before
3.11.5 takes the half, too (``;`` for a parameter), and Debian 12 has 3.11.2.
"""

import re

from sipagent.errors import LocalProtocolError, RemoteProtocolError


def _some(*ways: str) -> str:
    """One of these, and again."""
    return rf"(?>(?:{'|'.join(ways)})+)"


def _any(*ways: str) -> str:
    """The same, or nothing."""
    return rf"(?>(?:{'|'.join(ways)})*)"


SWS = r"[ \t]*+"
LWS = r"[ \t]++"

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]++"
QUOTED_STRING = '"' + _any(r'[^"\\]++', r"\\.") + '"'

UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
ESCAPED = r"%[0-9A-Fa-f]{2}"
USER_CHAR = rf"{UNRESERVED}&=+$,;?/"
PASSWORD_CHAR = rf"{UNRESERVED}&=+$,"
PARAM_CHAR = rf"{UNRESERVED}\[\]/:&+$"
HNV_CHAR = rf"{UNRESERVED}\[\]/?:+$"
# Telephones write service codes such as *21# without escaping the number sign.
USER = _some(rf"[{USER_CHAR}#]++", ESCAPED)
PASSWORD = _any(rf"[{PASSWORD_CHAR}]++", ESCAPED)
PNAME = PVALUE = _some(rf"[{PARAM_CHAR}]++", ESCAPED)
URI_PARAMETER = rf";({PNAME})(?:=({PVALUE}))?"
URI_PARAMETERS = _any(rf";{PNAME}(?:={PVALUE})?")
HNAME = _some(rf"[{HNV_CHAR}]++", ESCAPED)
HVALUE = _any(rf"[{HNV_CHAR}]++", ESCAPED)
URI_HEADER = rf"({HNAME})=({HVALUE})"
URI_HEADERS = rf"{HNAME}={HVALUE}" + _any(rf"&{HNAME}={HVALUE}")
SCHEME = r"[A-Za-z][A-Za-z0-9+\-.]*+"
# uric of RFC 2396, and the number sign as above.
OPAQUE = _some(rf"[{UNRESERVED};/?:@&=+$,#\[\]]++", ESCAPED)

# Container and machine names have underscores, which no domain label may have.
_LABEL = r"(?!-)[A-Za-z0-9_\-]++(?<!-)"
HOSTNAME = _LABEL + _any(rf"\.{_LABEL}") + r"\.?"
IPV6_REFERENCE = r"\[[0-9A-Fa-f:.]{2,45}+\]"
HOST = rf"(?:{HOSTNAME}|{IPV6_REFERENCE})"
PORT = r"[0-9]++"

# A gen-value is a token, host or quoted string; gateways put = / @ | and the like into tags and branches as well.
_BARE_CHAR = r"!#-+\-./0-:=?-\[\]-~"
GEN_VALUE = rf"(?:[{_BARE_CHAR}]++|{QUOTED_STRING})"
GENERIC_PARAM = rf"{SWS};{SWS}({TOKEN})(?:{SWS}={SWS}({GEN_VALUE}))?"
GENERIC_PARAMS = _any(rf"{SWS};{SWS}{TOKEN}(?:{SWS}={SWS}{GEN_VALUE})?")

# An auth-param's value is a token or a quoted string; some peers leave the quotes off a nonce.
AUTH_VALUE = r'[^", \t]++'

# callid is word ["@" word]; every visible character has been seen in one.
CALL_ID = r"[!-~]++"

UNSAFE_IN_USER = re.compile(rf"[^{USER_CHAR}]++")
UNSAFE_IN_PASSWORD = re.compile(rf"[^{PASSWORD_CHAR}]++")
UNSAFE_IN_PARAMETER = re.compile(rf"[^{PARAM_CHAR}]++")
UNSAFE_IN_HEADER = re.compile(rf"[^{HNV_CHAR}]++")

_LIST_ITEM = re.compile(_any(r'[^",<]++', QUOTED_STRING, r"<[^>]*+>"))
_ESCAPES = re.compile(_some(ESCAPED))
_QUOTED_PAIR = re.compile(r"\\(.)")
_TO_BE_QUOTED = re.compile(r'(["\\])')
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_is_digits = re.compile(r"[0-9]++").fullmatch
is_token = re.compile(TOKEN).fullmatch
is_bare_value = re.compile(rf"[{_BARE_CHAR}]++").fullmatch


def unquote(text: str) -> str:
    """Strip the quotes and quoted pairs of a quoted string; leave anything else as it is."""
    if not text.startswith('"'):
        return text
    return _QUOTED_PAIR.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]


def quote(text: str) -> str:
    """Write ``text`` as a quoted string."""
    return '"' + _TO_BE_QUOTED.sub(r"\\\1", text) + '"'


def unescape(text: str) -> str:
    """Undo ``%HH`` once; octets that are no UTF-8 become lone surrogates, as everywhere in this package."""
    return _ESCAPES.sub(_decode_escapes, text) if "%" in text else text


def escape(text: str, unsafe: re.Pattern[str]) -> str:
    """Write as ``%HH`` what ``unsafe``, one of the patterns above, finds.

    :raises LocalProtocolError: for a surrogate that stands for no octet.
    """
    try:
        return unsafe.sub(_encode_escapes, text)
    except UnicodeEncodeError as error:
        raise LocalProtocolError("a lone surrogate in a URI") from error


def _decode_escapes(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "surrogateescape")


def _encode_escapes(match: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in match[0].encode("utf-8", "surrogateescape"))


def split_list(text: str) -> list[str]:
    """Split at the commas that are in neither quotes nor angle brackets; an unclosed quote runs to the end."""
    if "," not in text:
        return [text] if text else []
    if '"' not in text and "<" not in text:
        return [item.strip(" \t") for item in text.split(",")]
    items = []
    start = 0
    while True:
        match = _LIST_ITEM.match(text, start)
        end = match.end() if match else start
        if end < len(text) and text[end] != ",":
            end = len(text)
        items.append(text[start:end].strip(" \t"))
        if end == len(text):
            return items
        start = end + 1


def parse_number(text: str, limit: int) -> int:
    """Read ``1*DIGIT``, saturating at ``limit``: a number of a million digits costs no arithmetic.

    :raises RemoteProtocolError: for anything but digits.
    """
    if not _is_digits(text):
        raise RemoteProtocolError("not a number")
    digits = text.lstrip("0") or "0"
    return limit if len(digits) > len(str(limit)) else min(int(digits), limit)


def printable(text: str) -> str:
    """Make text from the wire safe to log or encode: controls, direction marks and lone surrogates become U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)
