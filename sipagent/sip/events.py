"""What the user agent tells the shell: bytes to send, URIs to locate, and what happened to calls and registrations.

A handle is an integer that names one INVITE session from its first message to its :class:`Ended`.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from sipagent.sip.headers import NameAddr
from sipagent.sip.identity import Identity
from sipagent.sip.message import Request, Response
from sipagent.sip.replaces import Replaces
from sipagent.sip.uri import Uri

Address: TypeAlias = tuple[str, int]
"""A host (a name or an IP address without brackets) and a port."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a message came from, or is to go (:rfc:`3261#section-18`).

    ``local`` is ``None`` for "whichever of our sockets fits". For a stream transport the flow names one connection;
    the shell opens it when it is not there.
    """

    transport: str
    """``UDP``, ``TCP``, ``TLS``, ``WS`` or ``WSS``."""
    remote: Address
    local: Address | None = None
    name: str = field(default="", compare=False)
    """The domain of the URI that led here: what a certificate must be good for (:rfc:`5922#section-7.2`)."""

    @property
    def key(self) -> tuple[str, Address]:
        """What makes it this one, whatever our end of it is called: by it the loss of a connection is told."""
        return self.transport, self.remote

    @property
    def reliable(self) -> bool:
        """Whether the transport itself retransmits."""
        return self.transport != "UDP"

    @property
    def secure(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.transport in ("TLS", "WSS")


Hop: TypeAlias = Flow | Uri
"""Where a request goes: by a flow that we have, or to a URI that is still to be located (:rfc:`3263`)."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these bytes; the host of the flow may still be a name."""

    data: bytes
    flow: Flow


@dataclass(frozen=True, slots=True)
class Locate:
    """Find where requests to this URI go (:rfc:`3263#section-4`), and tell it by :meth:`UserAgent.located`."""

    query: int
    uri: Uri


@dataclass(frozen=True, slots=True)
class TargetFailed:
    """A located target did not answer, or said 503: prefer others for a while."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a sign of life over a connection (:rfc:`5626#section-3.5.1`); :meth:`UserAgent.receive_pong` tells it.

    When the connection is not there any more, :meth:`UserAgent.transport_failed` does.
    """

    flow: Flow


@dataclass(frozen=True, slots=True)
class FlowDead:
    """Nothing comes back over this connection: close it, so that the next message opens another."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class AddressSeen:
    """A STUN server sees us at ``mapped`` when we send to it by ``flow``."""

    mapped: Address
    flow: Flow


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """A new call; :meth:`UserAgent.ring`, :meth:`~UserAgent.accept` or :meth:`~UserAgent.reject` it.

    ``body`` is its ``application/sdp`` part, empty for a late offer. Where :attr:`wants_early_offer` ringing is worth
    something only with an offer of ours.
    """

    handle: int
    request: Request
    flow: Flow
    body: bytes
    identity: Identity
    """Who calls, as far as the peer is to be believed."""
    line: str = ""
    """Which line was called, by its name; empty when it was none of them."""
    is_trusted: bool = False
    """Whether the peer is one of the line's own, so that what it says about the caller is to be believed."""
    username: str | None = None
    """Who proved by a password to be who it is."""
    replaces: int | None = None
    """The handle of the call whose place this one is to take (:rfc:`3891`): accept it, then hang that one up."""

    @property
    def wants_early_offer(self) -> bool:
        """Whether the caller leaves the offer to us and wants it while it rings (:rfc:`3262#section-5`)."""
        return not self.body and "100rel" in map(str.lower, self.request.require)


@dataclass(frozen=True, slots=True)
class EarlyAnswered:
    """A PRACK brought the answer to the offer in our ringing; the 2xx says nothing more about it."""

    handle: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Reinvited:
    """A re-INVITE awaits :meth:`UserAgent.accept` or :meth:`~UserAgent.reject`; a rejection keeps the call."""

    handle: int
    request: Request
    body: bytes
    is_update: bool = False
    """An UPDATE, or a PRACK with an offer: it may come while a call rings, and is to be answered at once."""


@dataclass(frozen=True, slots=True)
class ReinviteCancelled:
    """The peer took its re-INVITE back before we answered; there is nothing left to accept, and the call goes on."""

    handle: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The first ACK for our 2xx; ``body`` is the answer to a late offer, else empty."""

    handle: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Progressed:
    """A provisional response above 100 to our INVITE.

    Several telephones may ring; ``response.to.tag`` tells them apart. A body is one telephone's answer to our offer:
    the last one that came is the one to listen to.
    """

    handle: int
    response: Response
    body: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """A 2xx to our INVITE or re-INVITE; the ACK is already on its way.

    ``body`` is the answer to our offer, though it may have come while it rang; empty when what was agreed on holds.
    """

    handle: int
    response: Response
    body: bytes


@dataclass(frozen=True, slots=True)
class UpdateAccepted:
    """A 2xx to our UPDATE; ``body`` is the answer to its offer."""

    handle: int
    response: Response
    body: bytes


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The session timer's re-INVITE said our last description again; ``body`` is what the peer answers now."""

    handle: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ReinviteRejected:
    """Our re-INVITE or UPDATE was refused; the call goes on as it was (:rfc:`3261#section-14.1`).

    ``status`` is 491 when the peer's own re-INVITE came first and was accepted: our offer is out of date.
    """

    handle: int
    status: int


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """The peer pressed a key, and says so in an INFO; it may say the same in RTP."""

    handle: int
    digit: str


@dataclass(frozen=True, slots=True)
class Referred:
    """A trusted peer asks us to call somebody; :meth:`UserAgent.accept_refer` or :meth:`~UserAgent.refuse_refer`."""

    handle: int
    target: Uri
    replaces: Replaces | None
    """The call of the target's that ours is to take the place of."""
    referred_by: NameAddr | None


@dataclass(frozen=True, slots=True)
class ReferProgressed:
    """The peer took up our REFER (202), or was told this by whom it calls (100 to 199)."""

    handle: int
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReferFinished:
    """The last word on our REFER: whom the peer called answered (2xx), or not; or the peer did not even try."""

    handle: int
    status: int | None
    """``None`` when the peer agreed but never told the outcome."""
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last word on a handle; the messages of a goodbye may still be on their way.

    ``reason`` is one of

    - ``bye``: the peer hung up;
    - ``cancelled``: the caller gave up before we answered;
    - ``hung_up``: we did;
    - ``rejected``: a final response refused the call, or put an end to it; ours or theirs, with its ``status``;
    - ``no_ack``: our 2xx, or our reliable ringing, was never acknowledged;
    - ``expired``: the session timer ran out;
    - ``timeout``: nobody answered, neither a message nor the telephone;
    - ``transport``: a message could not be sent.
    """

    handle: int
    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class SourceBanned:
    """A source failed too often and is shut out; told once for each ban."""

    source: str
    """An address, or an IPv6 subnet."""
    reason: str
    count: int
    """How often it failed."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Registered:
    """An account is registered, or is so in another way than before; a renewal that changes nothing says nothing."""

    account: str
    expires_s: int
    """As granted."""
    registrar: str
    """Host and port, as configured."""
    seen_as: Address | None
    """Where our REGISTER came from, as the registrar saw it (:rfc:`3581`)."""
    flow: Flow | None = field(default=None, compare=False)
    """The way that it went."""


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """An account is not registered any more, or still not; said once for each reason, not for each try."""

    account: str
    status: int | None
    """``None`` when nobody answered."""
    reason: str
    """In words."""
    retry_s: float | None
    """When it is tried again."""


@dataclass(frozen=True, slots=True)
class Unregistered:
    """An account has said goodbye, and was answered or waited long enough."""

    account: str


@dataclass(frozen=True, slots=True)
class Queried:
    """What a registrar says to :meth:`UserAgent.query`."""

    account: str
    registrar: Uri
    response: Response | None
    """``None`` when there was none."""


Event: TypeAlias = (
    Transmit
    | Locate
    | TargetFailed
    | Ping
    | FlowDead
    | AddressSeen
    | IncomingInvite
    | Reinvited
    | ReinviteCancelled
    | Acknowledged
    | EarlyAnswered
    | Progressed
    | Accepted
    | UpdateAccepted
    | Refreshed
    | ReinviteRejected
    | InfoReceived
    | Referred
    | ReferProgressed
    | ReferFinished
    | Ended
    | SourceBanned
    | Registered
    | RegistrationFailed
    | Unregistered
    | Queried
)
