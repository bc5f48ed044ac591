"""DTLS for the keys of SRTP (:rfc:`5763`, :rfc:`5764`), by OpenSSL over memory: datagrams in, datagrams and keys out.

- The peer's certificate is nobody's word but its own: what counts is that its fingerprint is the one of the signalling.
- Who sends is no concern of this file: it is fed by who knows that (:mod:`sipagent.rtp.ice`).
- OpenSSL repeats a lost flight by its own clock; ``due_at`` is when it wants to be asked.

The packages are an extra; without them, ``is_available`` says so.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

from sipagent.errors import SipagentError
from sipagent.rtp import srtp
from sipagent.rtp.srtp import SrtpParameters

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from OpenSSL import SSL
except ImportError:  # the extra is not installed
    is_available = False
else:
    is_available = srtp.is_available

MISSING: Final = "it needs OpenSSL and libsrtp: pip install 'sipagent[webrtc]'"

PROFILES: Final = {
    b"SRTP_AEAD_AES_256_GCM": ("AEAD_AES_256_GCM", 32, 12),
    b"SRTP_AEAD_AES_128_GCM": ("AEAD_AES_128_GCM", 16, 12),
    b"SRTP_AES128_CM_SHA1_80": ("AES_CM_128_HMAC_SHA1_80", 16, 14),
}
"""OpenSSL's names, best first; ours, and the bytes of key and salt. The last one everybody has."""
CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
)  # fmt: skip
"""With forward secrecy, and none of them old; browsers have had all of them for ten years."""
DIGESTS: Final = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"""By their names in SDP (:rfc:`8122#section-5`); what is older proves nothing."""
LABEL: Final = b"EXTRACTOR-dtls_srtp"

MTU: Final = 1_200
"""Bytes of a datagram; less than any network takes, with room for what is put around it on the way."""
MAX_DATAGRAM: Final = 4_096
"""Longer ones are not read: a flight is cut to a network's size."""
MAX_DATAGRAMS: Final = 200
"""Of one handshake; one with much loss has a tenth of that."""
RECORD_HEADER: Final = 13
LIFETIME: Final = timedelta(days=30)
RETRY_S: Final = 0.25
"""When OpenSSL does not say: it looks again."""
BACK_S: Final = 5.0
"""In which a peer that leaves hangs up, or, when its page is loaded anew, comes back with another certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Ours: made anew for each run, and known by its fingerprint alone."""

    certificate: "x509.Certificate" = field(repr=False)
    key: "ec.EllipticCurvePrivateKey" = field(repr=False)
    fingerprint: str
    """As SDP has it: the digest, and its octets."""


def make_certificate(*, wall: float) -> Certificate:
    """Make one that is good for a month.

    :param wall: Unix time.
    :raises SipagentError: when the packages are not installed.
    """
    if not is_available:
        raise SipagentError(f"WebRTC: {MISSING}")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sipagent")])
    now = datetime.fromtimestamp(wall, UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + LIFETIME)
    certificate = dated.sign(key, hashes.SHA256())
    return Certificate(certificate, key, _fingerprint(certificate))


def _fingerprint(certificate: "x509.Certificate") -> str:
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest().upper()
    return "sha-256 " + ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


class Dtls:
    """One handshake, and what it agreed on.

    :param fingerprints: of the peer's certificate, each a digest by its name in SDP and its octets in capitals, joined
        by colons; one that matches will do.
    :param is_client: whether we begin.
    """

    def __init__(self, certificate: Certificate, *, fingerprints: tuple[tuple[str, str], ...], is_client: bool) -> None:
        self.keys: SrtpParameters | None = None
        """Once the handshake is over, and the peer is who it should be."""
        self.failure = ""
        """Why there will be no keys."""
        self.is_closed = False
        """Whether the peer has said that it leaves."""
        self.due_at = inf
        """When :meth:`handle_timer` is due: to repeat something, to tell, at once, that it has failed, or that a peer
        that left does not come back."""
        self._fingerprints = fingerprints
        self._is_client = is_client
        self._read = 0
        self._connection = _connect(certificate, is_client=is_client)

    def begin(self, *, now: float) -> list[bytes]:
        """Begin, if that is for us to do; return what is to be sent."""
        return self._go_on(now) if self._is_client else []

    def receive(self, data: bytes, *, now: float) -> list[bytes]:
        """Take a datagram; return those that are to be sent."""
        if self.failure or self.is_closed or len(data) > MAX_DATAGRAM:
            return []
        self._read += 1
        if self.keys is None and self._read > MAX_DATAGRAMS:
            self._fail("a handshake without end")
            self.due_at = now
            return []
        try:
            self._connection.bio_write(data)
        except SSL.Error:  # nothing of it could be kept
            return []
        return self._go_on(now)

    def handle_timer(self, *, now: float) -> list[bytes]:
        """Return again what seems to be lost."""
        if now < self.due_at:
            return []
        if self.is_closed:
            self._fail("the peer has left")
        if self.failure:
            self.due_at = inf
            return []
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self._fail("the peer does not answer")
        return self._drain(now)

    def close(self) -> list[bytes]:
        """Say that we leave."""
        if self.keys is None or self.is_closed:
            return []
        self.is_closed = True
        self.due_at = inf
        try:
            self._connection.shutdown()
        except SSL.Error:
            return []
        return list(_datagrams(self._take()))

    def _go_on(self, now: float) -> list[bytes]:
        try:
            if self.keys is None:
                self._connection.do_handshake()
                self._conclude()
            else:
                self._connection.recv(1)  # nothing is said in it but good-bye; what was repeated is repeated
        except SSL.WantReadError:  # the peer has not said all of it: what we have to say meanwhile goes out
            return self._drain(now)
        except SSL.ZeroReturnError:
            self.is_closed = True
        except SSL.Error as error:
            self._fail(f"the handshake failed: {_reason(error)}")
        return self._drain(now)

    def _drain(self, now: float) -> list[bytes]:
        datagrams = list(_datagrams(self._take()))
        self.due_at = self._next(now)
        return datagrams

    def _next(self, now: float) -> float:
        if self.failure:
            return now
        if self.is_closed:
            return now + BACK_S
        timeout = None if self.keys is not None else self._connection.DTLSv1_get_timeout()
        return inf if timeout is None else now + max(timeout, RETRY_S)

    def _take(self) -> bytes:
        taken = b""
        try:
            while True:
                taken += self._connection.bio_read(MAX_DATAGRAM)
        except SSL.WantReadError:
            return taken

    def _conclude(self) -> None:
        """See whom we have agreed with, and on what."""
        peer = self._connection.get_peer_certificate(as_cryptography=True)
        profile = PROFILES.get(self._connection.get_selected_srtp_profile())
        if peer is None or not self._is_expected(peer.public_bytes(Encoding.DER)):
            self._fail("the peer's certificate is not the one of its description")
        elif profile is None:
            self._fail("no SRTP in common")
        else:
            self.keys = self._export(*profile)

    def _is_expected(self, der: bytes) -> bool:
        known = ((DIGESTS[name], octets) for name, octets in self._fingerprints if name in DIGESTS)
        return any(hashlib.new(name, der).hexdigest().upper() == octets.replace(":", "") for name, octets in known)

    def _export(self, suite: str, key: int, salt: int) -> SrtpParameters:
        """Return the keys: the client's and the server's, then the salts of both (:rfc:`5764#section-4.2`)."""
        material = self._connection.export_keying_material(LABEL, 2 * (key + salt))
        sides = [
            material[side * key : (side + 1) * key] + material[2 * key + side * salt : 2 * key + (side + 1) * salt]
            for side in (0, 1)
        ]
        ours, theirs = sides if self._is_client else reversed(sides)
        return SrtpParameters(suite, ours, theirs)

    def _fail(self, why: str) -> None:
        self.keys = None
        self.failure = why


def _connect(certificate: Certificate, *, is_client: bool) -> "SSL.Connection":
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)  # judged by fingerprint
    context.use_certificate(certificate.certificate)
    context.use_privatekey(certificate.key)
    context.set_cipher_list(":".join(CIPHERS).encode())
    context.set_tlsext_use_srtp(b":".join(PROFILES))
    connection = SSL.Connection(context)
    connection.set_ciphertext_mtu(MTU)
    if is_client:
        connection.set_connect_state()
    else:
        connection.set_accept_state()
    return connection


def _datagrams(data: bytes) -> Iterator[bytes]:
    """Cut a flight into datagrams: whole records, as many as there is room for (:rfc:`6347#section-4.1.1`)."""
    begin = end = 0
    while end + RECORD_HEADER <= len(data):
        length = RECORD_HEADER + int.from_bytes(data[end + 11 : end + 13], "big")
        if end > begin and end + length - begin > MTU:
            yield data[begin:end]
            begin = end
        end += length
    if end > begin:
        yield data[begin:end]


def _reason(error: "SSL.Error") -> str:
    """Return OpenSSL's own words."""
    details = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return str(details[0][2]) if details else type(error).__name__
