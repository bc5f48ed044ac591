"""What a browser offers, and what it is answered."""

from random import Random

import pytest

from sipagent.errors import RemoteProtocolError
from sipagent.sdp.description import parse
from sipagent.sdp.negotiation import MediaParameters, Negotiation, WebRtcTerms

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
THEIRS = ":".join(["0C"] * 32)
SESSION = ("group:BUNDLE 0 1", "msid-semantic: WMS x", f"fingerprint:sha-256 {THEIRS.lower()}")
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
    "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=ice-ufrag:Pe3r",
    "a=ice-pwd:0123456789abcdefghijklmn",
    "a=ice-options:trickle",
    "a=setup:actpass",
    "a=mid:0",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:63 red/48000/2",
    "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
    "a=ssrc:1001 cname:x",
)
VIDEO = ("m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=mid:1", "a=rtpmap:96 VP8/90000")


def offer(*lines: str, session: tuple[str, ...] = SESSION, without: str = "") -> bytes:
    head = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", *(f"a={each}" for each in session)]
    kept = [line for line in (*head, *(lines or AUDIO)) if not (without and line.startswith(without))]
    return "".join(f"{line}\r\n" for line in kept).encode()


def make(*, fingerprint: str = FINGERPRINT, codecs: tuple[str, ...] = ("opus", "PCMU")) -> Negotiation:
    return Negotiation(
        address="198.51.100.1", port=10_000, codecs=codecs, session_id=77, random=Random(1), fingerprint=fingerprint
    )


def terms(parameters: MediaParameters) -> WebRtcTerms:
    assert parameters.webrtc is not None
    return parameters.webrtc


def test_the_answer_to_a_browser() -> None:
    answer, parameters = make().answer(offer(*AUDIO, *VIDEO))
    agreed = terms(parameters)
    assert answer.decode().splitlines() == [
        "v=0",
        "o=- 77 1 IN IP4 198.51.100.1",
        "s=sipagent",
        "c=IN IP4 198.51.100.1",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=ice-lite",
        "m=audio 10000 UDP/TLS/RTP/SAVPF 111 110",
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:110 telephone-event/48000",
        "a=fmtp:110 0-15",
        "a=mid:0",
        f"a=ice-ufrag:{agreed.ufrag}",
        f"a=ice-pwd:{agreed.password}",
        f"a=fingerprint:{FINGERPRINT}",
        "a=setup:passive",
        "a=candidate:1 1 UDP 2130706431 198.51.100.1 10000 typ host",
        "a=end-of-candidates",
        "a=msid:sipagent audio",
        "a=ptime:20",
        "a=sendrecv",
        "a=rtcp-mux",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
    ]
    assert (parameters.direction, parameters.rtcp_mux) == ("sendrecv", True), "0.0.0.0 is no hold here"
    assert parameters.remote == parameters.remote_rtcp == ("0.0.0.0", 9)
    assert parameters.srtp is None
    assert agreed.peer.ufrag == "Pe3r"
    assert agreed.peer.fingerprints == (("sha-256", THEIRS),)
    assert (len(agreed.ufrag), len(agreed.password), agreed.is_client) == (8, 24, False)
    assert agreed.password not in repr(agreed)
    assert agreed.password not in repr(parse(answer))


@pytest.mark.parametrize(
    ("setup", "is_client", "said"),
    [
        ("actpass", False, "passive"),
        ("active", False, "passive"),
        ("passive", True, "active"),
        ("holdconn", False, "passive"),
    ],
)
def test_who_begins_the_handshake(setup: str, is_client: bool, said: str) -> None:
    answer, parameters = make().answer(offer().replace(b"setup:actpass", f"setup:{setup}".encode()))
    assert terms(parameters).is_client == is_client
    assert parse(answer).media[0].get("setup") == said


@pytest.mark.parametrize(
    "without",
    ["a=ice-ufrag", "a=fingerprint", "a=rtcp-mux", "a=rtpmap:111"],
)
def test_what_is_no_browsers_is_refused(without: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        make(codecs=("opus",)).answer(offer(without=without))
    assert caught.value.status == 488


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("setup:actpass", "setup:x"),
        ("ice-ufrag:Pe3r", "ice-ufrag:P"),
        ("ice-ufrag:Pe3r", "ice-ufrag:" + "a" * 300),
        ("ice-ufrag:Pe3r", "ice-ufrag:Pe3r:x"),
        (f"sha-256 {THEIRS.lower()}", "sha-256 xx"),
        (f"sha-256 {THEIRS.lower()}", THEIRS),
    ],
)
def test_what_is_malformed_is_refused(old: str, new: str) -> None:
    with pytest.raises(RemoteProtocolError):
        make().answer(offer().replace(old.encode(), new.encode()))


def test_without_a_certificate_or_with_another_lite_side_it_is_488() -> None:
    for negotiation, session in ((make(fingerprint=""), SESSION), (make(), (*SESSION, "ice-lite"))):
        with pytest.raises(RemoteProtocolError) as caught:
            negotiation.answer(offer(session=session))
        assert caught.value.status == 488


def test_a_mid_that_would_break_a_line_is_let_be() -> None:
    answer, _ = make().answer(offer().replace(b"a=mid:0", b"a=mid:0 1"))
    assert parse(answer).media[0].get("mid") is None
    assert parse(answer).get("group") is None


def test_names_and_roles_stay_until_the_browser_changes_its_own() -> None:
    negotiation = make()
    first, parameters = negotiation.answer(offer())
    again, same = negotiation.answer(offer())
    assert (again, same) == (first, parameters)
    _, restarted = negotiation.answer(offer().replace(b"Pe3r", b"R3st"))
    assert terms(restarted).ufrag != terms(parameters).ufrag
    assert terms(restarted).is_client is False
    active = offer().replace(b"setup:actpass", b"setup:passive")
    _, kept = negotiation.answer(active.replace(b"Pe3r", b"R3st"))
    assert terms(kept).is_client is False, "the certificate is the same, and so is the handshake"


def test_our_offer_within_a_call() -> None:
    negotiation = make()
    _, parameters = negotiation.answer(offer())
    description = parse(negotiation.offer())
    ours = description.media[0]
    assert (ours.protocol, ours.get("setup")) == ("UDP/TLS/RTP/SAVPF", "actpass")
    assert (ours.get("ice-ufrag"), ours.get("rtcp-mux")) == (terms(parameters).ufrag, "")
    assert (description.get("ice-lite"), description.get("group")) == ("", "BUNDLE 0")
    agreed = negotiation.receive_answer(offer().replace(b"setup:actpass", b"setup:active"))
    assert terms(agreed).ufrag == terms(parameters).ufrag
    assert terms(agreed).is_client is False


def test_a_first_offer_of_ours_is_for_telephones() -> None:
    assert b"ice" not in make().offer()
