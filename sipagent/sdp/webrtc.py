"""What a browser's description says of the way to it, and ours of the way to us: ICE (:rfc:`8839`), DTLS (:rfc:`8842`).

We are the lite side of ICE, on one port with RTCP, and wait for the handshake unless the browser does. Its candidates
are not read: who passes a check is where the check came from. Of a bundle the audio is taken, whatever else is in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from string import ascii_letters, digits
from typing import Final

from sipagent.sdp.description import Attribute, Media, SessionDescription

PROFILES: Final = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"})

UFRAG_LETTERS, PASSWORD_LETTERS = 8, 24
"""24 and 128 bits at least (:rfc:`8445#section-5.3`), six a letter."""
LETTERS: Final = ascii_letters + digits + "+/"
UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]{1,64}")
OCTETS: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){19,63}")
MAX_FINGERPRINTS: Final = 8
"""Digests of a certificate; browsers tell one."""

PRIORITY: Final = (126 << 24) + (65_535 << 8) + 255
"""Of a host's only address, as :rfc:`8445#section-5.1.2` reckons it."""
WE_BEGIN: Final[Mapping[str, bool]] = {"active": False, "passive": True, "actpass": False, "holdconn": False}
"""Whether the handshake is ours to begin, by what the peer says."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What a browser says."""

    ufrag: str
    fingerprints: tuple[tuple[str, str], ...]
    """Each a digest's name and its octets."""
    setup: str
    mid: str | None


@dataclass(frozen=True, slots=True)
class WebRtcTerms:
    """What two descriptions agree on."""

    ufrag: str
    password: str = field(repr=False)
    peer: Peer
    is_client: bool
    """Whether the handshake is ours to begin."""


def read_peer(session: SessionDescription, media: Media) -> Peer | None:
    """Return what a browser says, ``None`` where we can't meet: without a lite side's other side, or on two ports."""
    ufrag = media.get("ice-ufrag") or session.get("ice-ufrag") or ""
    setup = (media.get("setup") or session.get("setup") or "active").strip()
    texts = media.get_all("fingerprint") or [
        each.value or "" for each in session.attributes if each.name == "fingerprint"
    ]
    fingerprints = tuple(found for text in texts[:MAX_FINGERPRINTS] if (found := _read_fingerprint(text)))
    is_lite = session.get("ice-lite") is not None
    if not UFRAG.fullmatch(ufrag) or not fingerprints or setup not in WE_BEGIN or is_lite:
        return None
    if media.get("rtcp-mux") is None:
        return None
    mid = media.get("mid")
    return Peer(ufrag, fingerprints, setup, mid if mid and TOKEN.fullmatch(mid) else None)


def meet(peer: Peer, current: WebRtcTerms | None, random: Random) -> WebRtcTerms:
    """Return what comes of it: our names change when the peer's do, the roles when its certificate does."""
    goes_on = current is not None and current.peer.fingerprints == peer.fingerprints
    is_client = current.is_client if current and goes_on else WE_BEGIN[peer.setup]
    if current is not None and current.peer.ufrag == peer.ufrag:
        return replace(current, peer=peer, is_client=is_client)
    return WebRtcTerms(_letters(random, UFRAG_LETTERS), _letters(random, PASSWORD_LETTERS), peer, is_client)


def describe(terms: WebRtcTerms, *, fingerprint: str, address: str, port: int, is_offer: bool) -> tuple[Attribute, ...]:
    """Return our side of the stream; an offer leaves the roles to the peer, which knows that they stay."""
    setup = "actpass" if is_offer else "active" if terms.is_client else "passive"
    mid = () if terms.peer.mid is None else (Attribute("mid", terms.peer.mid),)
    return (
        *mid,
        Attribute("ice-ufrag", terms.ufrag),
        Attribute("ice-pwd", terms.password),
        Attribute("fingerprint", fingerprint),
        Attribute("setup", setup),
        Attribute("candidate", f"1 1 UDP {PRIORITY} {address} {port} typ host"),
        Attribute("end-of-candidates"),
        Attribute("msid", "sipagent audio"),
    )


def describe_session(terms: WebRtcTerms | None) -> tuple[Attribute, ...]:
    """Return what is said of the session: that our side is lite, and what is bundled, which is the audio alone."""
    if terms is None:
        return ()
    group = () if terms.peer.mid is None else (Attribute("group", f"BUNDLE {terms.peer.mid}"),)
    return (*group, Attribute("ice-lite"))


def _read_fingerprint(text: str) -> tuple[str, str] | None:
    name, _, octets = text.strip().partition(" ")
    octets = octets.strip().upper()
    return (name.lower(), octets) if OCTETS.fullmatch(octets) else None


def _letters(random: Random, count: int) -> str:
    return "".join(random.choices(LETTERS, k=count))
