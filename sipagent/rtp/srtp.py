"""SRTP (:rfc:`3711`, :rfc:`7714`) by Cisco's libsrtp: packets are protected and opened, whoever agreed on the keys.

- A context outlives re-INVITEs as long as its key: it counts how often the sequence number has come round, and one that
  forgot this is deaf from the 65,536th packet on.
- A new key is a new context, which counts from nought. What is on its way under the old key is opened with that until
  the first packet of the new.
- What can't be opened is counted and dropped: it is nobody's packet, whatever address it came from.

The package is an extra; without it, ``is_available`` says so before anybody is promised anything.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sipagent.errors import SipagentError

try:
    import pylibsrtp
except ImportError:  # the extra is not installed
    is_available = False
else:
    is_available = True

MISSING: Final = "it needs libsrtp: pip install 'sipagent[srtp]'"

PROFILES: Final = {
    "AES_CM_128_HMAC_SHA1_80": "SRTP_PROFILE_AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_PROFILE_AES128_CM_SHA1_32",
    "AEAD_AES_128_GCM": "SRTP_PROFILE_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": "SRTP_PROFILE_AEAD_AES_256_GCM",
}
"""The suites by their names in SDP, and what they are called here. The reports of the 32-bit suite have 80 bits."""

WINDOW: Final = 1_024
"""Packets that a late one may be behind the newest: 20 s. :rfc:`3711#section-3.3.2` asks for 64 at least."""

MAX_PACKET: Final = 1_500
"""Bytes that libsrtp's binding takes; longer ones are no Ethernet frame's."""


@dataclass(frozen=True, slots=True)
class SrtpParameters:
    """What an exchange of keys agreed on."""

    suite: str
    send_key: bytes = field(repr=False)
    """Master key and salt, one after the other."""
    receive_key: bytes = field(repr=False)


class Protector:
    """Both directions of one stream, and their reports."""

    __slots__ = ("_inbound", "_outbound", "_parameters", "_previous", "protect", "protect_rtcp", "unauthenticated")

    def __init__(self, parameters: SrtpParameters) -> None:
        """
        :raises SipagentError: when libsrtp is not installed.
        """
        if not is_available:
            raise SipagentError(MISSING)
        self.unauthenticated = 0
        """Packets that could not be opened, replayed ones included."""
        self._previous: pylibsrtp.Session | None = None
        self._inbound = _open_context(parameters.suite, parameters.receive_key, inbound=True)
        self._parameters = parameters
        self._set_outbound(parameters)

    def configure(self, parameters: SrtpParameters) -> None:
        """Go on with another agreement; a key that stays the same goes on where it is."""
        previous, self._parameters = self._parameters, parameters
        if (previous.suite, previous.receive_key) != (parameters.suite, parameters.receive_key):
            self._previous = self._inbound
            self._inbound = _open_context(parameters.suite, parameters.receive_key, inbound=True)
        if (previous.suite, previous.send_key) != (parameters.suite, parameters.send_key):
            self._set_outbound(parameters)

    def open(self, data: bytes) -> bytes | None:
        """Return the RTP packet in an SRTP packet; ``None`` when it is none, not the peer's, or came before."""
        return self._open(data, pylibsrtp.Session.unprotect)

    def open_rtcp(self, data: bytes) -> bytes | None:
        """Return the RTCP packet in an SRTCP packet, or ``None``."""
        return self._open(data, pylibsrtp.Session.unprotect_rtcp)

    def _open(self, data: bytes, unprotect: "Callable[[pylibsrtp.Session, bytes], bytes]") -> bytes | None:
        """Try the key, and the one before it as long as nothing came under this one."""
        opened = _attempt(unprotect, self._inbound, data)
        if opened is not None:
            self._previous = None
        elif self._previous is not None:
            opened = _attempt(unprotect, self._previous, data)
        if opened is None:
            self.unauthenticated += 1
        return opened

    def _set_outbound(self, parameters: SrtpParameters) -> None:
        self._outbound = _open_context(parameters.suite, parameters.send_key, inbound=False)
        self.protect: Callable[[bytes], bytes] = self._outbound.protect
        """Return the SRTP packet of an RTP packet."""
        self.protect_rtcp: Callable[[bytes], bytes] = self._outbound.protect_rtcp
        """Return the SRTCP packet of an RTCP packet."""


def _attempt(
    unprotect: "Callable[[pylibsrtp.Session, bytes], bytes]", context: "pylibsrtp.Session", data: bytes
) -> bytes | None:
    """Open a packet by one key; ``None`` when it is none, was sealed by another, or came before."""
    try:
        return unprotect(context, data) if len(data) <= MAX_PACKET else None
    except pylibsrtp.Error:
        return None


def _open_context(suite: str, key: bytes, *, inbound: bool) -> "pylibsrtp.Session":
    policy = pylibsrtp.Policy(
        key=key,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=getattr(pylibsrtp.Policy, PROFILES[suite]),
    )
    policy.window_size = WINDOW
    return pylibsrtp.Session(policy)
