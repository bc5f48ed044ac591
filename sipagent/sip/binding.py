"""What the 200 to a REGISTER says of us (:rfc:`3261#section-10.2.4`)."""

from dataclasses import dataclass

from sipagent.errors import RemoteProtocolError
from sipagent.sip.events import Address
from sipagent.sip.grammar import parse_number
from sipagent.sip.headers import NameAddr
from sipagent.sip.message import Response
from sipagent.sip.uri import PORT_MAX

EXPIRES_MAX_S = 86_400
"""What a registrar may grant, or insist on."""

ROUTES_MAX = 8
"""URIs of a Service-Route or Path; real networks have two at most."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What is known of us now."""

    expires_s: int
    """For how long; 0 when it is not kept."""
    service_route: tuple[NameAddr, ...]
    """By which proxies our requests outside a dialog are to go (:rfc:`3608`)."""
    path: tuple[NameAddr, ...]
    """By which proxies others reach us (:rfc:`3327`)."""
    seen_as: Address | None
    """Where our REGISTER came from (:rfc:`3581#section-4`); ``None`` when the registrar does not say."""

    @classmethod
    def read(cls, response: Response, sent: NameAddr | None, asked_s: int) -> "Binding":
        """Find ourselves among all that are registered for the same address.

        :param sent: our Contact; it is known by its user part, as a proxy may put another address into the rest.
        :param asked_s: what is granted by a registrar that does not say.
        """
        return cls(
            expires_s=_expires(response, sent, asked_s),
            service_route=_read_routes(response, "Service-Route"),
            path=_read_routes(response, "Path"),
            seen_as=_read_seen_as(response),
        )


def _expires(response: Response, sent: NameAddr | None, asked_s: int) -> int:
    """Return the time of our own Contact; of several, of the address that we gave, not of one we had before."""
    ours = [found for found in response.contacts if sent is not None and found.uri.user == sent.uri.user]
    here = [found for found in ours if sent is not None and found.uri.host_port == sent.uri.host_port]
    said = [found.parameters.get("expires") for found in (here or ours)[:1]]
    for text in (*said, response.headers.get("Expires")):
        seconds = read_number(text, EXPIRES_MAX_S)
        if seconds is not None:
            return seconds
    return asked_s


def _read_routes(response: Response, name: str) -> tuple[NameAddr, ...]:
    """Read a Service-Route or Path; one that can't be read, or has no end, is none."""
    values = response.headers.get_all(name)
    try:
        return tuple(map(NameAddr.parse, values)) if len(values) <= ROUTES_MAX else ()
    except RemoteProtocolError:
        return ()


def _read_seen_as(response: Response) -> Address | None:
    port = read_number(response.via.rport, PORT_MAX)
    return None if port is None else (response.via.received or response.via.host, port)


def read_number(text: str | None, limit: int) -> int | None:
    """Read a number, at most ``limit``; ``None`` where there is none."""
    try:
        return None if text is None else parse_number(text.strip(), limit)
    except RemoteProtocolError:
        return None
