"""A URI (:rfc:`3261#section-19.1`), and the parameters that URIs and header fields carry.

A value is frozen; ``Uri.parse(str(uri)) == uri``. What was ``%``-escaped is unescaped once when read and escaped
again where needed when written. A scheme other than ``sip`` and ``sips`` is kept, with its text opaque.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

from sipagent.errors import RemoteProtocolError
from sipagent.sip import grammar

PORT_MAX = 65_535
URI_MAX = 8_192
"""Characters in a URI; as much as a header line may have."""
URIS_MAX = 256
"""That are remembered: those of a peer's Contact, and whom it calls, come in every message of every call."""

_SCHEME = re.compile(rf"({grammar.SCHEME}):")
_SIP_URI = re.compile(
    rf"(?:({grammar.USER})(?::({grammar.PASSWORD}))?@)?({grammar.HOST})(?::({grammar.PORT}))?"
    rf"({grammar.URI_PARAMETERS})(?:\?({grammar.URI_HEADERS}))?"
)
_OPAQUE = re.compile(grammar.OPAQUE)
_PARAMETER = re.compile(grammar.URI_PARAMETER)
_HEADER = re.compile(grammar.URI_HEADER)


class Parameters(Mapping[str, str | None]):
    """An ordered, frozen mapping of parameter names, in any case, to values; a flag such as ``lr`` has ``None``.

    Of a name that comes twice the first counts, and both are written. Two are equal when they say the same,
    in whatever order.
    """

    __slots__ = ("_index", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str | None]] = ()) -> None:
        self._pairs = tuple(pairs)
        self._index = {name.lower(): value for name, value in reversed(self._pairs)}

    @property
    def pairs(self) -> tuple[tuple[str, str | None], ...]:
        """Names as they were written, and values, in order."""
        return self._pairs

    def replace(self, name: str, value: str | None) -> "Parameters":
        """Return a copy in which ``name`` is ``value``: in its old place, or else last."""
        key = name.lower()
        if key not in self._index:
            return Parameters((*self._pairs, (name, value)))
        return Parameters((old, value if old.lower() == key else kept) for old, kept in self._pairs)

    def without(self, name: str) -> "Parameters":
        """Return a copy that lacks ``name``."""
        key = name.lower()
        return Parameters(pair for pair in self._pairs if pair[0].lower() != key)

    def __getitem__(self, name: str) -> str | None:
        return self._index[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len(self._index)

    def __eq__(self, other: object) -> bool:
        return self._index == other._index if isinstance(other, Parameters) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._index.items()))

    def __repr__(self) -> str:
        return f"Parameters({self._pairs!r})"


NO_PARAMETERS = Parameters()


@dataclass(frozen=True, slots=True)
class Uri:
    """``scheme:user:password@host:port;parameters?headers``, or ``scheme:opaque``."""

    scheme: str
    """In lower case."""
    user: str | None = None
    """Unescaped, with whatever ``;`` parameters a telephone number brought along."""
    password: str | None = None
    host: str = ""
    """A name, or an IP address without brackets; in the case it was written in."""
    port: int | None = None
    parameters: Parameters = NO_PARAMETERS
    headers: tuple[tuple[str, str], ...] = ()
    opaque: str = ""
    """All that follows the colon, for a scheme that is neither ``sip`` nor ``sips``."""

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Read an addr-spec without brackets.

        :raises RemoteProtocolError: when it breaks the grammar.
        """
        if len(text) > URI_MAX:
            raise RemoteProtocolError("malformed URI")
        return _parse(text)

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is ``sip`` or ``sips``."""
        return self.scheme in ("sip", "sips")

    @property
    def host_port(self) -> str:
        """``host[:port]`` as it is written, an IPv6 address in brackets."""
        return format_host_port(self.host, self.port)

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.opaque}"
        parts = [self.scheme, ":"]
        if self.user is not None:
            parts.append(grammar.escape(self.user, grammar.UNSAFE_IN_USER))
            if self.password is not None:
                parts += (":", grammar.escape(self.password, grammar.UNSAFE_IN_PASSWORD))
            parts.append("@")
        parts.append(self.host_port)
        for name, value in self.parameters.pairs:
            parts += (";", grammar.escape(name, grammar.UNSAFE_IN_PARAMETER))
            if value is not None:
                parts += ("=", grammar.escape(value, grammar.UNSAFE_IN_PARAMETER))
        separator = "?"
        for name, value in self.headers:
            parts += (
                separator,
                grammar.escape(name, grammar.UNSAFE_IN_HEADER),
                "=",
                grammar.escape(value, grammar.UNSAFE_IN_HEADER),
            )
            separator = "&"
        return "".join(parts)


@lru_cache(URIS_MAX)
def _parse(text: str) -> Uri:
    match = _SCHEME.match(text)
    if match is None:
        raise RemoteProtocolError("malformed URI")
    scheme = match[1].lower()
    if scheme in ("sip", "sips"):
        return _parse_sip(scheme, text, match.end())
    if not _OPAQUE.fullmatch(text, match.end()):
        raise RemoteProtocolError(f"malformed {scheme} URI")
    return Uri(scheme, opaque=text[match.end() :])


def _parse_sip(scheme: str, text: str, start: int) -> Uri:
    match = _SIP_URI.fullmatch(text, start)
    if match is None:
        raise RemoteProtocolError("malformed SIP URI")
    user, password, host, port, parameters, headers = match.groups()
    return Uri(
        scheme,
        None if user is None else grammar.unescape(user),
        None if password is None else grammar.unescape(password),
        parse_host(host),
        None if port is None else parse_port(port),
        _parse_uri_parameters(parameters) if parameters else NO_PARAMETERS,
        _parse_uri_headers(headers) if headers else (),
    )


def parse_host(text: str) -> str:
    """Take the brackets off an IPv6 reference, and leave any other host as it is.

    :raises RemoteProtocolError: when what the brackets hold is no IPv6 address.
    """
    if not text.startswith("["):
        return text
    try:
        IPv6Address(text[1:-1])
    except AddressValueError as error:
        raise RemoteProtocolError("malformed IPv6 address") from error
    return text[1:-1]


def parse_port(text: str) -> int:
    """Read a port.

    :raises RemoteProtocolError: above 65,535.
    """
    port = grammar.parse_number(text, PORT_MAX + 1)
    if port > PORT_MAX:
        raise RemoteProtocolError("port out of range")
    return port


def format_host_port(host: str, port: int | None) -> str:
    """Write ``host[:port]``, an IPv6 address in brackets."""
    if ":" in host:
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"


def _parse_uri_parameters(text: str) -> Parameters:
    return Parameters(
        (grammar.unescape(name), grammar.unescape(value) if value else None) for name, value in _PARAMETER.findall(text)
    )


def _parse_uri_headers(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((grammar.unescape(name), grammar.unescape(value)) for name, value in _HEADER.findall(text))
