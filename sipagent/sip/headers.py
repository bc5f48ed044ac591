"""The header fields of a message, in order, and the values that have a structure of their own.

Names are matched in any case and by their compact forms; well-known ones are written in their usual spelling,
unknown ones as they came. A field value never holds CR, LF or NUL, whoever wrote it. The typed values are frozen, and
``parse`` and ``str`` are inverses; where a list is allowed (:rfc:`3261#section-7.3.1`), ``get_all`` splits it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import TypeVar, cast, overload

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.uri import NO_PARAMETERS, Parameters, Uri, format_host_port, parse_host, parse_port

T = TypeVar("T")

MAGIC_COOKIE = "z9hG4bK"
"""How the branch of an RFC 3261 element begins (:rfc:`3261#section-8.1.1.7`)."""

CSEQ_MAX = 2**32 - 1
"""We keep to 2**31 - 1 as :rfc:`3261#section-8.1.1.5` asks; peers that start from 32 random bits are let be."""

SECONDS_MAX = 2**31 - 1
"""Of a duration; whoever writes more means for ever."""

_LISTS = frozenset({
    "accept", "accept-encoding", "accept-language", "alert-info", "allow", "allow-events", "call-info", "contact",
    "content-encoding", "content-language", "diversion", "error-info", "history-info", "in-reply-to",
    "p-asserted-identity", "p-preferred-identity", "path", "proxy-require", "reason", "record-route", "require",
    "route", "service-route", "supported", "unsupported", "via", "warning",
})  # fmt: skip
"""The fields that may be comma lists; others keep their commas."""

_COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition",
    "e": "Content-Encoding", "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported",
    "l": "Content-Length", "m": "Contact", "n": "Identity-Info", "o": "Event", "r": "Refer-To", "s": "Subject",
    "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}  # fmt: skip
"""The compact forms of IANA's registry of header fields."""

_KNOWN = (
    "Accept", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Authentication-Info", "Authorization",
    "Call-Info", "Content-Disposition", "Content-Language", "CSeq", "Date", "Diversion", "Error-Info", "Expires",
    "History-Info", "In-Reply-To", "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE", "Organization",
    "P-Asserted-Identity", "P-Preferred-Identity", "Path", "Priority", "Privacy", "Proxy-Authenticate",
    "Proxy-Authorization", "Proxy-Require", "RAck", "Reason", "Record-Route", "Refer-Sub", "Replaces", "Reply-To",
    "Require", "Retry-After", "Route", "RSeq", "Server", "Service-Route", "SIP-ETag", "SIP-If-Match",
    "Subscription-State", "Timestamp", "Unsupported", "User-Agent", "Warning", "WWW-Authenticate",
)  # fmt: skip

_NAMES = {name.lower(): name for name in (*_KNOWN, *_COMPACT.values())}
_KEYS = {spelling: name.lower() for name in _NAMES.values() for spelling in (name, name.lower(), name.upper())} | {
    spelling: name.lower() for compact, name in _COMPACT.items() for spelling in (compact, compact.upper())
}

_UNSAFE = re.compile(r"[\r\n\0\ud800-\udc7f\udd00-\udfff]")


def _key(name: str) -> str:
    """Return what a field is looked up by: its long name in lower case."""
    key = _KEYS.get(name)
    if key is None:
        key = name.lower()
        key = _KEYS.get(key, key)
    return key


def check_text(text: str) -> str:
    """Return ``text`` if it may stand in a line of the head.

    :raises LocalProtocolError: if it has CR, LF, NUL, or a surrogate that stands for no octet.
    """
    if _UNSAFE.search(text):
        raise LocalProtocolError("a line may not hold CR, LF, NUL or a lone surrogate")
    return text


class Headers:
    """An ordered multi-map of field names to raw values."""

    __slots__ = ("_derived", "_fields", "_index")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[tuple[str, str, str]] = []
        self._index: dict[str, list[str]] | None = None
        self._derived: dict[Callable[[Headers], object], tuple[str, object]] = {}
        """What was read of a field, and the key of that."""
        for name, value in fields:
            self.add(name, value)

    @classmethod
    def read(cls, lines: Iterable[str]) -> "tuple[Headers, str | None]":
        """Read unfolded lines; return what could be read, and what is wrong with the first line that could not."""
        headers = cls()
        fields = headers._fields
        index: dict[str, list[str]] = {}
        problem = None
        for line in lines:
            name, colon, value = line.partition(":")
            key = _KEYS.get(name)
            if key is None or not colon:
                name = name.rstrip(" \t")
                if not colon or not grammar.is_token(name):
                    problem = problem or "malformed header field"
                    continue
                key = _key(name)
            value = value.strip(" \t")
            fields.append((key, _NAMES.get(key, name), value))
            if key in index:
                index[key].append(value)
            else:
                index[key] = [value]
        headers._index = index
        return headers, problem

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first field of that name, whole, or ``default``."""
        values = self._by_key().get(_key(name))
        return values[0] if values else default

    def get_fields(self, name: str) -> list[str]:
        """Return the fields of that name, whole."""
        return list(self._by_key().get(_key(name), ()))

    def get_all(self, name: str) -> list[str]:
        """Return the values of that name, one entry a value, lists split where the RFC allows lists."""
        key = _key(name)
        fields = self._by_key().get(key, ())
        if key not in _LISTS:
            return list(fields)
        return [value for field in fields for value in grammar.split_list(field)]

    def add(self, name: str, value: str) -> None:
        """Append a field.

        :raises LocalProtocolError: if the name is no token, or the value has CR, LF or NUL.
        """
        field = self._field(name, value)
        self._fields.append(field)
        self._changed(field[0])

    def take(self, other: "Headers", name: str, *, most: int | None = None) -> None:
        """Append the fields of that name that another message has, or so many of them, as they are."""
        key = _key(name)
        self._fields += [field for field in other._fields if field[0] == key][:most]
        self._changed(key)

    def insert_first(self, name: str, value: str) -> None:
        """Put a field above all others; errors as :meth:`add`."""
        field = self._field(name, value)
        self._fields.insert(0, field)
        self._changed(field[0])

    def set(self, name: str, value: str) -> None:
        """Leave one field of that name, in the place of the first, or last of all; errors as :meth:`add`."""
        field = self._field(name, value)
        at = next((i for i, old in enumerate(self._fields) if old[0] == field[0]), len(self._fields))
        self._fields = [old for old in self._fields if old[0] != field[0]]
        self._fields.insert(at, field)
        self._changed(field[0])

    def replace_first(self, name: str, value: str) -> None:
        """Replace the first value of that name, leaving the rest of its list; errors as :meth:`add`."""
        field = self._field(name, value)
        at = next((i for i, old in enumerate(self._fields) if old[0] == field[0]), None)
        if at is None:
            self._fields.append(field)
        else:
            rest = grammar.split_list(self._fields[at][2])[1:] if field[0] in _LISTS else []
            self._fields[at] = (*field[:2], ", ".join([value, *rest]))
        self._changed(field[0])

    def remove(self, name: str) -> None:
        """Drop every field of that name; that there is none is no error."""
        key = _key(name)
        self._fields = [field for field in self._fields if field[0] != key]
        self._changed(key)

    def items(self) -> list[tuple[str, str]]:
        """Return names and whole values, in order."""
        return [(name, value) for _, name, value in self._fields]

    def copy(self) -> "Headers":
        """Return a copy that changes on its own."""
        copy = Headers()
        copy._fields = self._fields.copy()
        return copy

    def derive(self, name: str, function: "Callable[[Headers], T]") -> T:
        """Return ``function(self)``, which looks at the fields of that name alone.

        It is remembered until one of them changes; what it raises is not remembered.
        """
        known = self._derived.get(function)
        if known is None:
            known = self._derived[function] = (_key(name), function(self))
        return cast("T", known[1])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._by_key()

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return self._fields == other._fields if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"

    @staticmethod
    def _field(name: str, value: str) -> tuple[str, str, str]:
        key = _KEYS.get(name)
        if key is None:
            if not grammar.is_token(name):
                raise LocalProtocolError(f"{name!r} is no name for a header field")
            key = _key(name)
        return key, _NAMES.get(key, name), check_text(value).strip(" \t")

    def _changed(self, key: str) -> None:
        """Forget what was read of the fields of this key, and look them up anew."""
        if self._index is not None:
            values = [value for of, _, value in self._fields if of == key]
            if values:
                self._index[key] = values
            else:
                self._index.pop(key, None)
        if self._derived:
            self._derived = {function: read for function, read in self._derived.items() if read[0] != key}

    def _by_key(self) -> dict[str, list[str]]:
        if self._index is None:
            self._index = {}
            for key, _, value in self._fields:
                self._index.setdefault(key, []).append(value)
        return self._index


_GENERIC_PARAM = re.compile(grammar.GENERIC_PARAM)
_ADDRESS = re.compile(
    rf'(?:(?:({grammar.QUOTED_STRING})|([^"<>,;:\x00-\x1f\x7f]*+)){grammar.SWS}<([^<>]*+)>|([^"<>,;? \t]++))'
    rf"({grammar.GENERIC_PARAMS})"
)
_VIA = re.compile(
    rf"({grammar.TOKEN}){grammar.SWS}/{grammar.SWS}({grammar.TOKEN}){grammar.SWS}/{grammar.SWS}({grammar.TOKEN})"
    rf"{grammar.LWS}({grammar.HOST})(?:{grammar.SWS}:{grammar.SWS}({grammar.PORT}))?({grammar.GENERIC_PARAMS})"
)
_CSEQ = re.compile(rf"([0-9]++){grammar.LWS}({grammar.TOKEN})")


def read_seconds(headers: Headers, name: str) -> int | None:
    """Return what a field such as Expires, Retry-After or Min-SE says, without its parameters and comments.

    One that can't be read is none: nobody is refused for it (:rfc:`3261#section-8.2`).
    """
    number = re.match(r"[0-9]++", headers.get(name, ""))
    return None if number is None else grammar.parse_number(number[0], SECONDS_MAX)


def parse_generic_params(text: str) -> Parameters:
    """Read ``*( SEMI generic-param )``, already known to fit the grammar; quoted values lose their quotes."""
    if not text:
        return NO_PARAMETERS
    return Parameters((name, grammar.unquote(value) if value else None) for name, value in _GENERIC_PARAM.findall(text))


def format_generic_params(parameters: Parameters) -> str:
    """Write parameters, a value in quotes only where it needs them."""
    return "".join(
        f";{name}" if value is None else f";{name}={value if grammar.is_bare_value(value) else grammar.quote(value)}"
        for name, value in parameters.pairs
    )


def _check_identifying(parameters: Parameters, name: str) -> None:
    """A tag or branch that comes twice could be read two ways, by us and by a proxy before us."""
    if len(parameters) != len(parameters.pairs) and sum(pair[0].lower() == name for pair in parameters.pairs) > 1:
        raise RemoteProtocolError(f"more than one {name}")


@dataclass(frozen=True, slots=True)
class NameAddr:
    """``"display name" <uri>;parameters``: From, To, Contact, Route and their kin (:rfc:`3261#section-20.10`)."""

    display_name: str | None
    uri: Uri
    parameters: Parameters = NO_PARAMETERS

    @classmethod
    def parse(cls, text: str) -> "NameAddr":
        """Read a name-addr or an addr-spec; of an addr-spec, the parameters are the field's, not the URI's.

        Unquoted display names may have any characters that don't divide the field, not tokens only, as many
        telephones write them.

        :raises RemoteProtocolError: when it breaks the grammar.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise RemoteProtocolError("malformed address")
        quoted, plain, uri, bare, params = match.groups()
        parameters = parse_generic_params(params)
        _check_identifying(parameters, "tag")
        name = grammar.unquote(quoted) if quoted else (plain and plain.strip(" \t")) or None
        return cls(name, Uri.parse(uri if bare is None else bare), parameters)

    @property
    def tag(self) -> str | None:
        """The ``tag`` parameter."""
        return self.parameters.get("tag")

    def with_tag(self, tag: str) -> "NameAddr":
        """Return a copy that has this tag."""
        return replace_fields(self, parameters=self.parameters.replace("tag", tag))

    def __str__(self) -> str:
        name = "" if self.display_name is None else grammar.quote(self.display_name) + " "
        return f"{name}<{self.uri}>{format_generic_params(self.parameters)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (:rfc:`3261#section-20.42`): ``SIP/2.0/transport host:port;parameters``."""

    transport: str
    """In upper case."""
    host: str
    """A name, or an IP address without brackets."""
    port: int | None = None
    parameters: Parameters = NO_PARAMETERS
    protocol: str = "SIP/2.0"

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Read one value.

        :raises RemoteProtocolError: when it breaks the grammar.
        """
        match = _VIA.fullmatch(text)
        if match is None:
            raise RemoteProtocolError("malformed Via")
        protocol, version, transport, host, port, params = match.groups()
        parameters = parse_generic_params(params)
        _check_identifying(parameters, "branch")
        return cls(
            transport.upper(),
            parse_host(host),
            None if port is None else parse_port(port),
            parameters,
            f"{protocol}/{version}",
        )

    @property
    def branch(self) -> str | None:
        """What tells transactions apart."""
        return self.parameters.get("branch")

    @property
    def received(self) -> str | None:
        """The address the request came from, where it differs from ``host``."""
        return self.parameters.get("received")

    @property
    def rport(self) -> str | None:
        """The port the request came from (:rfc:`3581#section-4`); ``None`` also while it is asked for: see ``in``."""
        return self.parameters.get("rport")

    @property
    def sent_by(self) -> str:
        """``host[:port]`` as it is written."""
        return format_host_port(self.host, self.port)

    def with_parameter(self, name: str, value: str | None) -> "Via":
        """Return a copy in which that parameter has that value, ``None`` for a flag."""
        parameters = self.parameters.replace(name, value)
        return Via(self.transport, self.host, self.port, parameters, self.protocol)

    def __str__(self) -> str:
        return f"{self.protocol}/{self.transport} {self.sent_by}{format_generic_params(self.parameters)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """A sequence number and the method it counts (:rfc:`3261#section-20.16`)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> "CSeq":
        """Read the field.

        :raises RemoteProtocolError: when it breaks the grammar, or the number 32 bits.
        """
        match = _CSEQ.fullmatch(text)
        if match is None:
            raise RemoteProtocolError("malformed CSeq")
        number = grammar.parse_number(match[1], CSEQ_MAX + 1)
        if number > CSEQ_MAX:
            raise RemoteProtocolError("CSeq out of range")
        return cls(number, match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
