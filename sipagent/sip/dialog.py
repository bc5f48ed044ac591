"""A dialog (:rfc:`3261#section-12`): what two user agents must remember to send each other requests.

It is made of the messages that open it, builds the requests that we send within it, judges the order of those that
come, and knows where the next one goes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, TypeAlias

from sipagent.sip.events import Address, Flow, Hop
from sipagent.sip.headers import CSeq, Headers, NameAddr
from sipagent.sip.message import Request, Response
from sipagent.sip.uri import Uri

DialogId: TypeAlias = tuple[str, str, str]
"""Call-ID, our tag, their tag (empty for a peer of RFC 2543, which has none)."""

URI_TRANSPORTS = {"UDP": "udp", "TCP": "tcp", "TLS": "tls", "WS": "ws", "WSS": "ws"}
"""What a URI's parameter says for each; a secure WebSocket is a ``ws`` like the other (:rfc:`7118#section-5.2`)."""

DEFAULT_PORTS = {"TLS": 5061, "WS": 80, "WSS": 443}
"""Of transports that have one of their own (:rfc:`3261#section-19.1.2`, :rfc:`7118#section-8.3`); of others 5060."""

MAX_FORWARDS: Final = "70"

HOSTS_MAX: Final = 256
"""Of which it is remembered whether they are addresses: calls come from few hosts."""


@dataclass(slots=True)
class Dialog:
    """One dialog, confirmed: we keep nothing for early ones."""

    call_id: str
    local: NameAddr
    """Us, with our tag."""
    remote: NameAddr
    """Them, with their tag."""
    route_set: tuple[NameAddr, ...]
    """The proxies on the way to them, the nearest first."""
    remote_target: Uri
    """Their Contact."""
    flow: Flow
    """The way their last message came, or ours went."""
    local_sequence: int
    remote_sequence: int | None
    is_flow_better: bool
    """Whether the flow reaches them more surely than their Contact does."""
    is_flow_renewed: bool = False
    """Whether the connection that we had opened was lost, and we try to open it again."""

    @classmethod
    def from_request(cls, request: Request, local_tag: str, flow: Flow) -> "Dialog":
        """Open the dialog of an INVITE that came to us (:rfc:`3261#section-12.1.1`).

        :param request: without a Contact, as in RFC 2543, its From takes the place.
        """
        dialog = cls(
            call_id=request.call_id,
            local=request.to.with_tag(local_tag),
            remote=request.from_,
            route_set=tuple(request.record_route),
            remote_target=request.from_.uri,
            flow=flow,
            local_sequence=0,
            remote_sequence=request.cseq.number,
            is_flow_better=flow.reliable,
        )
        dialog.refresh_target(request, flow)
        return dialog

    @classmethod
    def from_response(cls, request: Request, response: Response, flow: Flow) -> "Dialog":
        """Open the dialog that a 2xx to our INVITE makes (:rfc:`3261#section-12.1.2`)."""
        dialog = cls(
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            route_set=tuple(reversed(response.record_route)),
            remote_target=request.uri,
            flow=flow,
            local_sequence=request.cseq.number,
            remote_sequence=None,
            is_flow_better=flow.reliable,
        )
        dialog.refresh_target(response, flow)
        return dialog

    @property
    def id(self) -> DialogId:
        """What the messages of the dialog are known by."""
        return (self.call_id, self.local.tag or "", self.remote.tag or "")

    def receive_sequence(self, request: Request) -> bool:
        """Take note of a request's place; ``False`` if it comes out of order (:rfc:`3261#section-12.2.2`).

        An INVITE that repeats a number is out of order too: its first copy was absorbed by its transaction.
        """
        number, method = request.cseq.number, request.cseq.method
        last = self.remote_sequence
        if last is not None and (number < last or (number == last and method == "INVITE")):
            return False
        self.remote_sequence = number
        return True

    def refresh_target(self, message: Request | Response, flow: Flow) -> None:
        """Take the Contact of an INVITE or of its 2xx (:rfc:`3261#section-12.2.1.2`), and see how to reach it."""
        self.flow, self.is_flow_renewed = flow, False
        if message.contact is not None:
            self.remote_target = message.contact.uri
        if flow.reliable:
            self.is_flow_better = flow_to(self.remote_target, flow).transport == flow.transport
        elif isinstance(message, Request):
            self.is_flow_better = _is_behind_nat(message, self.remote_target, flow)

    def flow_failed(self, flow: Flow) -> None:
        """A connection was lost: the Contact is now the better way.

        One that we had opened, by a name, we can open again, and know that it led somewhere; a Contact is often an
        address for which its server has no certificate. But that is tried only once.
        """
        if flow.reliable and (flow.transport, flow.remote) == (self.flow.transport, self.flow.remote):
            may_renew = bool(self.flow.name) and not self.is_flow_renewed
            self.is_flow_better, self.is_flow_renewed = self.is_flow_better and may_renew, True

    def next_hop(self) -> Flow:
        """Return where a request within the dialog goes (:rfc:`3261#section-12.2.1.1`): proxy, flow, or Contact."""
        uri = self._next_uri()
        flow = self.flow if uri is None else flow_to(uri, self.flow)
        is_same = (flow.transport, flow.remote) == (self.flow.transport, self.flow.remote)
        return self.flow if is_same else flow  # the peer that we know by name may write its address into Record-Route

    def hop(self) -> Hop:
        """Return the same for a request that may be tried elsewhere: a domain is still to be located."""
        uri = self._next_uri()
        if uri is None or not uri.is_sip or uri.port is not None or is_numeric(uri.host):
            return self.next_hop()
        transport = flow_to(uri, self.flow).transport
        parameters = uri.parameters.replace("transport", URI_TRANSPORTS[transport])
        return replace(uri, scheme="sips" if transport == "WSS" else uri.scheme, parameters=parameters)

    def _next_uri(self) -> Uri | None:
        if self.route_set:
            return self.route_set[0].uri
        return None if self.is_flow_better else self.remote_target

    def make_request(
        self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", *, sequence: int | None = None
    ) -> Request:
        """Build a request within the dialog, still without Via.

        :param headers: put after those of the dialog.
        :param sequence: of the INVITE that an ACK is for; every other request counts on.
        """
        if sequence is None:
            self.local_sequence += 1
            sequence = self.local_sequence
        uri, routes = self._route()
        fields = [
            ("Max-Forwards", MAX_FORWARDS),
            *(("Route", str(route)) for route in routes),
            ("From", str(self.local)),
            ("To", str(self.remote)),
            ("Call-ID", self.call_id),
            ("CSeq", str(CSeq(sequence, method))),
        ]
        return Request(method, uri, Headers([*fields, *headers]), body)

    def _route(self) -> tuple[Uri, Iterable[NameAddr]]:
        """Return Request-URI and Route; a strict router (RFC 2543) wants to be the Request-URI itself."""
        if not self.route_set or "lr" in self.route_set[0].uri.parameters:
            return self.remote_target, self.route_set
        return self.route_set[0].uri, (*self.route_set[1:], NameAddr(None, self.remote_target))


def flow_to(uri: Uri, base: Flow) -> Flow:
    """Return the flow to a URI, its host still a name.

    Where the URI names no transport it is that of ``base``, which is known to work, rather than UDP
    (:rfc:`3263#section-4.1`). What is no SIP URI can only be reached the way it came.
    """
    if not uri.is_sip:
        return base
    transport = _transport(uri, base)
    address = _address(uri.parameters.get("maddr") or uri.host, uri.port, transport)
    return Flow(transport, address, base.local, uri.host)


@lru_cache(HOSTS_MAX)
def is_numeric(host: str) -> bool:
    """Whether a host is an address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _transport(uri: Uri, base: Flow) -> str:
    """The transport that a URI asks for; whether a WebSocket is secure only the scheme says, or the flow we have."""
    asked = (uri.parameters.get("transport") or base.transport).upper()
    if asked in ("WS", "WSS"):
        return "WSS" if asked == "WSS" or uri.scheme == "sips" or base.transport == "WSS" else "WS"
    return "TLS" if uri.scheme == "sips" else asked


def _address(host: str, port: int | None, transport: str) -> Address:
    return host, port or DEFAULT_PORTS.get(transport, 5060)


def _is_behind_nat(request: Request, target: Uri, flow: Flow) -> bool:
    """Whether the peer gives, in Via and Contact alike, an address that its packets don't come from.

    Then nobody stands between us, and what it thinks is its address is of no use to us.
    """
    via = request.via
    claimed = _address(via.host, via.port, flow.transport)
    return claimed != flow.remote and claimed == _address(target.host, target.port, flow.transport)
