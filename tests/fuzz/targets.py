"""What is fuzzed: functions of octets that raise nothing, whatever the octets; what one raises is a bug.

Hypothesis drives them in ``make test`` (``test_targets.py``), a coverage-guided fuzzer in ``make fuzz`` (``run.py``).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import NamedTuple
from zipfile import ZipFile

from fuzz.talk import scripts, talk

from sipagent import stun
from sipagent.errors import RemoteProtocolError
from sipagent.rtp.packet import pack_packet
from sipagent.rtp.rtcp import (
    ExtendedReport,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    build_compound,
)
from sipagent.rtp.session import G711, RtpParameters, RtpSession
from sipagent.rtp.xr import VoipMetrics
from sipagent.sdp.negotiation import Negotiation
from sipagent.sip.authentication import parse_authentications
from sipagent.sip.binding import Binding
from sipagent.sip.digest import read_challenges
from sipagent.sip.framing import BODY_MAX, StreamFramer
from sipagent.sip.headers import CSeq, NameAddr, Via
from sipagent.sip.identity import Identity
from sipagent.sip.info import read_digit
from sipagent.sip.message import HEAD_MAX, MessageError, Request, make_response, parse_message
from sipagent.sip.multipart import find_part
from sipagent.sip.refer import ReferTo, SubscriptionState, read_event, read_sipfrag, referred_by
from sipagent.sip.reliable import RAck
from sipagent.sip.replaces import Replaces
from sipagent.sip.session_timer import SessionExpires
from sipagent.sip.uri import Uri
from sipagent.stun import build_request, is_stun

TORTURE = Path(__file__).parents[1] / "sip" / "torture"
CORPORA = Path(os.environ.get("SIPAGENT_CORPORA") or Path(__file__).parents[3] / "shared" / "corpora")
"""Other projects' messages, read in place; where they are not, there is less to begin with."""

MEDIA = RtpParameters(0, {0: G711}, telephone_event={101: 8000}, remote=("192.0.2.1", 4000))

FACTS_MAX = 20_000
"""Characters of what a model is told about a caller, however much that is."""

OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
    b"a=sendonly\r\nm=video 0 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\na=rtcp:4003 IN IP4 192.0.2.9\r\na=rtcp-mux\r\n"
)


def read_message(data: bytes) -> None:
    """A message that is taken says the same when it is written and read again; one that is not can be answered."""
    try:
        message = parse_message(data)
    except MessageError as error:
        if error.partial is not None:
            bytes(make_response(error.partial, error.status, to_tag="t"))
        return
    try:
        again = parse_message(bytes(message))
    except MessageError as error:
        if error.status == 513:
            return  # with the Content-Length that it had not, it has one field too many
        raise
    for name in ("vias", "from_", "to", "contacts", "call_id", "cseq", "max_forwards", "record_route", "body"):
        assert getattr(again, name) == getattr(message, name), name
    for name in ("content_type", "require", "supported", "allow"):
        assert getattr(again, name) == getattr(message, name), name
    message.content("application/sdp")
    if isinstance(message, Request):
        parse_message(bytes(make_response(message, 200, to_tag="t")))
        read_request(message)
    else:
        binding = Binding.read(message, message.contact, 60)
        assert binding.expires_s >= 0


def read_request(request: Request) -> None:
    """What a request means: read, or refused with a status, or nothing."""
    for read in (ReferTo.of_request, read_digit, lambda request: Replaces.of_request(request.headers)):
        with suppress(RemoteProtocolError):
            read(request)
    referred_by(request.headers)
    read_event(request.headers)
    read_sipfrag(request)
    SubscriptionState.of_request(request.headers)
    for is_trusted in (True, False):
        facts = Identity.from_request(request, is_trusted=is_trusted).facts()
        assert len(repr(facts)) < FACTS_MAX


VALUES: tuple[Callable[[str], object], ...] = (
    Uri.parse,
    NameAddr.parse,
    Via.parse,
    CSeq.parse,
    RAck.parse,
    SessionExpires.parse,
    Replaces.parse,
    lambda text: parse_authentications([text]),
    lambda text: read_challenges([text]),
    lambda text: find_part(text.encode("utf-8", "surrogateescape"), text[:80], "application/sdp"),
)


def read_value(data: bytes) -> None:
    """The value of a header field, by the grammar that the first octet chooses; what is read can be written."""
    if not data:
        return
    parse = VALUES[data[0] % len(VALUES)]
    with suppress(RemoteProtocolError):
        value = parse(data[1:].decode("utf-8", "surrogateescape"))
        if parse in (Uri.parse, NameAddr.parse, Via.parse, CSeq.parse):
            assert parse(str(value)) == value


def read_stun(data: bytes) -> None:
    """STUN, and what is none."""
    if is_stun(data):
        stun.parse_message(data)


def read_stream(data: bytes) -> None:
    """Octets in any pieces give the same messages, and what waits for the rest stays small."""
    size = data[0] + 1 if data else 1
    whole, pieces = cut([data[1:]]), cut([data[at : at + size] for at in range(1, len(data), size)])
    assert whole == pieces


def cut(pieces: list[bytes]) -> tuple[list[bytes], int | None]:
    """Cut messages out of a stream; return them, and the status of the fault that ended it, if one did."""
    framer, messages = StreamFramer(), list[bytes]()
    try:
        for piece in pieces:
            while found := framer.receive_data(piece):
                messages += found
                piece = b""
            framer.pop_pong()
            assert len(framer._buffer) <= HEAD_MAX + BODY_MAX + len(piece)
    except MessageError as error:
        return messages, error.status
    return messages, None


BROWSER = (
    b"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=mid:0\r\na=rtcp-mux\r\n"
    b"a=fingerprint:sha-256 " + b":".join([b"AB"] * 32) + b"\r\na=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\n"
)


def negotiate(data: bytes) -> None:
    """An offer, and another after the first; an answer to ours. What is refused changes nothing."""
    first, _, second = data.partition(b"\n%%\n")
    for offer in (first, second or first):
        ours = Negotiation(
            address="192.0.2.2", port=4000, session_id=1, srtp="optional", random=Random(1), fingerprint="sha-256 00"
        )
        answer(ours, OFFER)
        answer(ours, offer)
        offered = ours.offer()
        assert len(offered) < 4096 + 2 * len(offer)
        before = ours.parameters
        try:
            ours.receive_answer(second or first)
        except RemoteProtocolError:
            assert ours.parameters == before


def answer(ours: Negotiation, offer: bytes) -> None:
    """Answer, or refuse and be as before."""
    before = ours.parameters
    try:
        text, _ = ours.answer(offer)
    except RemoteProtocolError:
        assert ours.parameters == before
    else:
        assert len(text) < 4096 + 2 * len(offer)
        assert text.count(b"\r\nm=") == max(1, sum(line[:2] == b"m=" for line in offer.splitlines()))


class Target(NamedTuple):
    """A function, and what to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def hear(data: bytes) -> None:
    """Let a session have a datagram at each of its ports, more than once and before and after the peer's own."""
    session = RtpSession(random=Random(1), cname="fuzz", parameters=MEDIA)
    peer = MEDIA.remote or ("", 0)
    for now, source in enumerate((peer, ("192.0.2.9", 5), peer)):
        session.receive_packet(data, source, now=now)
        session.receive_rtcp(data, (peer[0], peer[1] + 1), now=now)
        session.receive_packet(pack_packet(0, now, 160 * now, 7, bytes(160)), peer, now=now)
        session.handle_timer(now=now + 0.5)
        assert session.stats.heard.mos >= 1
        assert session.sent is None or session.sent.mos >= 1
    session.close(now=9.0)


def messages() -> Iterator[bytes]:
    """Messages, ours and others'."""
    for path in [*sorted(TORTURE.glob("*.sip")), *sorted(CORPORA.glob("rfc4475/*.dat"))]:
        yield path.read_bytes()
    yield from shared("fuzz-sip_seed_corpus", "fuzz-sip-dialog_seed_corpus", "sip-corpus")
    for path in sorted(CORPORA.glob("fuzz_seeds/sipgo/*")):
        yield path.read_bytes()


def shared(*names: str) -> Iterator[bytes]:
    """The members of other projects' archives of seeds."""
    for path in (CORPORA / "fuzz_seeds" / f"{name}.zip" for name in names):
        if path.is_file():
            with ZipFile(path) as archive:
                for entry in archive.infolist():
                    yield archive.read(entry)


def values() -> Iterator[bytes]:
    """The values of header fields, for each grammar."""
    texts = [
        b'"A. \\"B\\" C" <sip:a:b%41@[2001:db8::1]:5060;transport=tcp;lr?to=x>;tag=1;q=0.5', b"tel:+1-201-555-0123",
        b'SIP / 2.0 / UDP first.example.com : 4000;ttl=16;maddr=224.2.0.1;branch="z9hG4bK1"', b"4294967295 INVITE",
        b"1 2 INVITE", b"1800;refresher=uac",
        b'Digest realm="a, \\"b\\"", nonce=n, qop="auth,auth-int", Basic x=y, algorithm=SHA-512-256, stale=TRUE',
        b"multipart/mixed;boundary=\"b\"\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--",
    ]  # fmt: skip
    texts += shared("fuzz-uri_seed_corpus", "fuzz-url_seed_corpus")
    for number in range(len(VALUES)):
        for text in texts:
            yield bytes([number]) + text


def streams() -> Iterator[bytes]:
    """Messages after each other, with keep-alives between them, in pieces."""
    whole = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 3\r\n\r\nabc"
    yield b"\x05" + whole + b"\r\n\r\n" + whole
    for message in messages():
        yield b"\x40" + message + b"\r\n\r\n" + whole


def stuns() -> Iterator[bytes]:
    """A request of ours, an answer to it, and others'."""
    sent = build_request(bytes(12))
    yield sent
    yield b"\x01\x01\x00\x0c" + sent[4:20] + b"\x00\x20\x00\x08\x00\x01\x11\x2b\xe1\xba\xa5\x61"
    yield from shared("fuzz-stun_seed_corpus")


def descriptions() -> Iterator[bytes]:
    """Session descriptions."""
    yield OFFER
    yield OFFER + b"\n%%\n" + OFFER.replace(b"m=audio 4000", b"m=audio 0")
    yield OFFER.replace(b"IP4 192.0.2.1", b"IP4 0.0.0.0").replace(b" 0 8 101", b" 96 97").replace(b":101", b":97")
    yield OFFER + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 40 + b"|2^31|1:4 UNENCRYPTED_SRTCP\r\n"
    yield OFFER.replace(b"RTP/AVP", b"RTP/SAVP") + b"a=crypto:2 AEAD_AES_128_GCM inline:" + b"A" * 38 + b"==|2^20\r\n"
    yield OFFER.replace(b"RTP/AVP", b"UDP/TLS/RTP/SAVPF") + BROWSER
    yield from shared("fuzz-sdp_seed_corpus", "fuzz-sdes_seed_corpus")


def datagrams() -> Iterator[bytes]:
    """RTP and RTCP."""
    yield pack_packet(0, 1, 160, 7, bytes(160), marker=True)
    yield pack_packet(13, 2, 320, 7, b"\x40")
    yield pack_packet(101, 3, 480, 7, bytes.fromhex("058a0320"))
    ours = RtpSession(random=Random(1), cname="fuzz", parameters=MEDIA)
    ssrc = int.from_bytes(ours.next_packet(bytes(160), now=0.0)[8:12])
    block = ReportBlock(ssrc, 12, 3, 700, 40, 0, 0)
    metrics = VoipMetrics(ssrc, 10, 2, 90, 1, 120, 4000, 70, 40, 16, 80, 40, 38)
    yield build_compound([SenderReport(7, 1, 2, 3, 4, (block,)), SourceDescription(7, "peer"), Goodbye((7,))])
    yield build_compound([ReceiverReport(7, (block,)), ExtendedReport(7, (metrics, metrics))])
    yield from shared("fuzz-rtcp_seed_corpus", "fuzz-rtp_seed_corpus")


TARGETS = {
    "message": Target(read_message, messages),
    "value": Target(read_value, values),
    "stun": Target(read_stun, stuns),
    "stream": Target(read_stream, streams),
    "description": Target(negotiate, descriptions),
    "talk": Target(talk, scripts),
    "media": Target(hear, datagrams),
}
