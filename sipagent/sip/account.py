"""Who we are toward one PBX or trunk, as the configuration says it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sipagent.sip.digest import Credentials
from sipagent.sip.session_timer import SessionTimerSettings
from sipagent.sip.uri import Uri

KeepAliveMethod: TypeAlias = Literal["auto", "crlf", "stun", "options", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One identity of ours; what it has come to is its :class:`~sipagent.sip.line.Line`."""

    name: str
    """Of the line in the configuration."""
    address: Uri
    """The address of record, such as ``sip:100@pbx.example.com``."""
    contact_user: str
    """The user part of our Contact, which nobody can guess: a call to it is for this line."""
    display_name: str | None = None
    credentials: Credentials | None = None
    registrars: tuple[Uri, ...] = ()
    """Where REGISTER goes, the first choice first; without any the account does not register."""
    transport: str | None = None
    """By which the PBX is reached, as a URI's parameter says it; ``None`` leaves it to DNS."""
    outbound_proxy: Uri | None = None
    """The first Route of every request outside a dialog."""
    instance: str = ""
    """``urn:uuid:…``, the same over restarts (:rfc:`5626#section-4.1`)."""
    expires_s: int = 300
    """What REGISTER asks for; what is granted counts."""
    external_address: str | None = None
    """What peers of this account beyond our own networks see of us, numeric; ``None``: what all others see."""
    keep_alive: KeepAliveMethod = "auto"
    keep_alive_s: float = 25.0
    """Between two signs of life: a NAT forgets a silent UDP flow after 30 s or more."""
    ring_limit_s: float = 180.0
    """How long a telephone that we call may ring."""
    redirects: int = 0
    """How many 3xx a call of ours follows."""
    may_call: Callable[[Uri], bool] | None = None
    """Whether a 3xx may send a call there; ``None`` for the account's own domain only."""
    session_timer: SessionTimerSettings = field(default_factory=SessionTimerSettings)
    keys: Literal["auto", "info"] = "auto"
    """How keys of ours go: in RTP where the peer takes them there, or always in INFO."""
    is_anonymous: bool = False
    """Calls of ours ask for privacy (:rfc:`3323`)."""
