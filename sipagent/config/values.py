"""Settings that are written as one text and mean more: each parses itself and says what it expected.

``parse`` raises :class:`ValueError` with what was expected, never with the text itself, which may be a secret.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Self

SIP_PORT = 5060
"""Where a listener without a port listens (:rfc:`3261#section-19.1.2`)."""

SIP_PORTS: Mapping[str, int | None] = {"UDP": SIP_PORT, "TCP": SIP_PORT, "TLS": 5061, "WS": None, "WSS": None}
"""By transport. Those of WebSockets would be 80 and 443, which mostly are another's."""

BUILTIN_TOOLS = frozenset({"collect_digits", "hang_up", "hold", "note", "send_digits", "take_message", "transfer"})
"""The tools that come with us."""

HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?")
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
TOOL = re.compile(r"(?:(?P<file>.+\.py)|(?P<module>[A-Za-z_][\w.]*)):(?P<name>[A-Za-z_]\w*)")


class Secret:
    """A text that shows itself to nobody who does not ask for it; an empty one is false."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take the text as it is."""
        return cls(text)

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be pickled")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host, without brackets, and a port; port 0 leaves the choice to the system."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host:port`` or ``[IPv6]:port``."""
        host, separator, port = text.rpartition(":")
        if not separator:
            raise ValueError("a host and a port, such as 127.0.0.1:8080")
        return cls(_parse_host(host), _parse_port(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A socket that takes SIP."""

    transport: str
    """``UDP``, ``TCP``, ``TLS``, ``WS`` or ``WSS``."""
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``transport:host`` or ``transport:host:port``."""
        transport, _, rest = text.partition(":")
        transport = transport.upper()
        if transport not in SIP_PORTS or not rest:
            raise ValueError("udp, tcp, tls, ws or wss, an address and a port, such as udp:0.0.0.0:5060")
        if not rest.endswith("]") and ":" in rest:
            endpoint = Endpoint.parse(rest)
            return cls(transport, endpoint.host, endpoint.port)
        port = SIP_PORTS[transport]
        if port is None:
            raise ValueError("a port as well, such as wss:0.0.0.0:8443")
        return cls(transport, _parse_host(rest), port)

    @property
    def socket(self) -> tuple[bool, str, int]:
        """What no other listener can have: whether it is for datagrams, and the address."""
        return self.transport == "UDP", self.host, self.port

    @property
    def is_secure(self) -> bool:
        """Whether it needs a certificate."""
        return self.transport in ("TLS", "WSS")

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{Endpoint(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Server:
    """A SIP server: a domain or an address, and a port where it has one; without, DNS says."""

    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host`` or ``host:port``, an IPv6 address in brackets."""
        try:
            if text.endswith("]") or ":" not in text:
                return cls(_parse_host(text))
            endpoint = Endpoint.parse(text)
        except ValueError:
            raise ValueError("a domain or an address, with or without a port, such as pbx.example.com") from None
        return cls(endpoint.host, endpoint.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class Network:
    """Addresses that belong together."""

    __slots__ = ("value",)

    def __init__(self, value: IPv4Network | IPv6Network) -> None:
        self.value = value

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``192.0.2.0/24``, or a single address."""
        try:
            return cls(ip_network(text))
        except ValueError:
            raise ValueError("an address or a network such as 192.0.2.0/24") from None

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports for media, both ends included; RTP takes the even ones, RTCP the odd ones (:rfc:`3550#section-11`)."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``first-last``."""
        first, separator, last = text.partition("-")
        if not separator:
            raise ValueError("two ports joined by a dash, such as 10000-19999")
        ports = cls(_parse_port(first), _parse_port(last))
        if ports.first < 1024 or ports.pairs < 1:
            raise ValueError("at least one even port and the odd one after it, from 1024 on, such as 10000-19999")
        return ports

    @property
    def pairs(self) -> int:
        """How many pairs of an even port and the next there are: one a call."""
        return (self.last + 1) // 2 - (self.first + 1) // 2

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class ToolReference:
    """Where a tool is to be found: built in or among the file's own, in a Python file, or in an installed module."""

    name: str
    """Of the tool that is built in or the file's own, else of the function."""
    file: Path | None = None
    module: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``hang_up``, ``path/to/file.py:function`` or ``package.module:function``; whether there is one of a bare
        name is for others to say."""
        if TOOL_NAME.fullmatch(text):
            return cls(text)
        match = TOOL.fullmatch(text)
        if match is None:
            raise ValueError("the name of a tool, path/to/file.py:function or package.module:function")
        if match["file"] is None:
            return cls(match["name"], module=match["module"])
        return cls(match["name"], file=Path(match["file"]))

    def resolve(self, folder: Path) -> Self:
        """Return the reference with its file, if it is in one, found from ``folder``."""
        if self.file is None:
            return self
        return replace(self, file=_find(folder, self.file))

    @property
    def is_named(self) -> bool:
        """Whether it is a bare name: it needs no import."""
        return self.file is None and self.module is None

    def __str__(self) -> str:
        return self.name if self.is_named else f"{self.file or self.module}:{self.name}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is heard before the agent's own first words: a WAV file, or words that the model says."""

    text: str
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the path of a ``.wav`` file, or words."""
        if not text.strip():
            raise ValueError("a WAV file, or words to say")
        return cls(text, Path(text) if text.lower().endswith(".wav") else None)

    def resolve(self, folder: Path) -> Self:
        """Return it with its file, if it is one, found from ``folder``."""
        return self if self.file is None else replace(self, file=_find(folder, self.file))


@dataclass(frozen=True, slots=True)
class Filler:
    """What is heard while the agent thinks: nothing, noise, somebody who types, or a WAV file."""

    name: str
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``none``, ``noise``, ``typing``, or the path of a ``.wav`` file."""
        if text in ("none", "noise", "typing"):
            return cls(text)
        if not text.lower().endswith(".wav"):
            raise ValueError("none, noise, typing or a WAV file")
        return cls(text, Path(text))

    def resolve(self, folder: Path) -> Self:
        """Return it with its file, if it is one, found from ``folder``."""
        return self if self.file is None else replace(self, file=_find(folder, self.file))


@dataclass(frozen=True, slots=True)
class Delivery:
    """How words reach the caller: by instructions to the model, said exactly, or from a WAV file."""

    name: str
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``instructions``, ``exactly``, or the path of a ``.wav`` file."""
        if text in ("instructions", "exactly"):
            return cls(text)
        if not text.lower().endswith(".wav"):
            raise ValueError("instructions, exactly or a WAV file")
        return cls(text, Path(text))

    def resolve(self, folder: Path) -> Self:
        """Return it with its file, if it is one, found from ``folder``."""
        return self if self.file is None else replace(self, file=_find(folder, self.file))


class Host(str):
    """The name or the address of a host."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an IPv4 or IPv6 address or a name."""
        return cls(_parse_host(text))


def _find(folder: Path, name: Path) -> Path:
    file = folder / name
    if not file.is_file():
        raise ValueError(f"a file that exists: there is no {file}")
    return file


def _parse_host(text: str) -> str:
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ip_address(host))
    except ValueError:
        if not HOST_NAME.fullmatch(host) or host.replace(".", "").isdigit():
            raise ValueError("the name or the address of a host") from None
        return host


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65_536):
        raise ValueError("a port from 0 to 65535")
    return int(text)
