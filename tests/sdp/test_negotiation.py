"""Offer and answer: each rule of the module, each trap of a named peer."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sdp.description import Media, SessionDescription, parse
from sipagent.sdp.negotiation import DIRECTIONS, Direction, Format, MediaParameters, Negotiation

PEER = ("192.0.2.7", 4000)


def make(codecs: tuple[str, ...] = ("PCMU", "PCMA"), address: str = "198.51.100.1") -> Negotiation:
    return Negotiation(address=address, port=10_000, codecs=codecs, session_id=77)


def sdp(
    *media: str, connection: str | None = "IN IP4 192.0.2.7", session: Sequence[str] = (), end: str = "\r\n"
) -> bytes:
    """Write a peer's description: each medium is its ``m=`` value and attributes, parted by ``|``."""
    lines = ["v=0", "o=peer 1 1 IN IP4 192.0.2.7", "s=-"]
    lines += [f"c={connection}"] if connection else []
    lines += ["t=0 0", *(f"a={attribute}" for attribute in session)]
    for medium in media:
        first, *rest = medium.split("|")
        lines.append(f"m={first}")
        lines += [line if line.startswith("c=") else f"a={line}" for line in rest]
    return ("\r\n".join(lines) + end).encode()


def audio(*attributes: str, formats: str = "0 8 101", port: int = 4000) -> str:
    return "|".join((f"audio {port} RTP/AVP {formats}", "rtpmap:101 telephone-event/8000", *attributes))


def our_audio(description: bytes) -> Media:
    return next(media for media in parse(description).media if media.kind == "audio" and media.port)


def version(description: bytes) -> int:
    return int(parse(description).origin.version)


def direction_of(media: Media) -> str:
    return next(name for name in DIRECTIONS if media.get(name) is not None)


def refused(negotiation: Negotiation, offer: bytes) -> int:
    with pytest.raises(RemoteProtocolError) as caught:
        negotiation.answer(offer)
    return caught.value.status


# --- what an answer says


def test_the_usual_call() -> None:
    answer, parameters = make().answer(sdp(audio("fmtp:101 0-16", "ptime:20", "sendrecv")))
    assert parameters == MediaParameters(
        codec="PCMU",
        clock_rate=8_000,
        payload_type=0,
        receive_formats={0: Format("PCMU", 8_000), 8: Format("PCMA", 8_000)},
        remote=PEER,
        remote_rtcp=("192.0.2.7", 4001),
        rtcp_mux=False,
        telephone_event_payload_type=101,
        telephone_event_clock_rate=8_000,
        receive_telephone_events={101: 8_000},
        comfort_noise=frozenset({13}),
        ptime_ms=20,
        direction="sendrecv",
    )
    assert answer == (
        b"v=0\r\n"
        b"o=- 77 1 IN IP4 198.51.100.1\r\n"
        b"s=sipagent\r\n"
        b"c=IN IP4 198.51.100.1\r\n"
        b"t=0 0\r\n"
        b"m=audio 10000 RTP/AVP 0 8 101\r\n"
        b"a=rtpmap:0 PCMU/8000\r\n"
        b"a=rtpmap:8 PCMA/8000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\n"
        b"a=fmtp:101 0-15\r\n"
        b"a=ptime:20\r\n"
        b"a=sendrecv\r\n"
    )


@pytest.mark.parametrize(
    ("ours", "formats", "maps", "codec", "payload_type", "heard", "event"),
    [
        (("PCMU", "PCMA"), "0", (), "PCMU", 0, {0: "PCMU"}, None),
        (("PCMU", "PCMA"), "8 0", (), "PCMA", 8, {8: "PCMA", 0: "PCMU"}, None),
        (("PCMU",), "8 0", (), "PCMU", 0, {0: "PCMU"}, None),
        (("PCMU", "PCMA"), "9 18 3 8", (), "PCMA", 8, {8: "PCMA"}, None),
        (("PCMU", "PCMA"), "98", ("98 PCMU/8000",), "PCMU", 98, {98: "PCMU"}, None),
        (("PCMU", "PCMA"), "98 97", ("98 pcma/8000/1", "97 Telephone-Event/8000"), "PCMA", 98, {98: "PCMA"}, 97),
        (("PCMU", "PCMA"), "0 96", ("0 PCMU/8000", "96 telephone-event/8000"), "PCMU", 0, {0: "PCMU"}, 96),
        (("PCMU", "PCMA"), "0 8", ("0 L16/44100",), "PCMA", 8, {8: "PCMA"}, None),
        (("PCMU", "PCMA"), "0", ("0 PCMU",), "PCMU", 0, {0: "PCMU"}, None),
        (("PCMU", "PCMA"), "96 0", ("96 PCMU/16000",), "PCMU", 0, {0: "PCMU"}, None),
        (("PCMU", "PCMA"), "96 0", ("96 PCMU/8000/2",), "PCMU", 0, {0: "PCMU"}, None),
        (("PCMU", "PCMA"), "97 96 0", ("97 opus/48000/2", "96 telephone-event/48000"), "PCMU", 0, {0: "PCMU"}, None),
        (("PCMU", "PCMA"), "4294967296 0 0", (), "PCMU", 0, {0: "PCMU"}, None),
        (("PCMU", "PCMA"), "0 101", (), "PCMU", 0, {0: "PCMU"}, None),
    ],
)  # fmt: skip
def test_an_answer_mirrors_the_payload_types(
    ours: tuple[str, ...],
    formats: str,
    maps: tuple[str, ...],
    codec: str,
    payload_type: int,
    heard: dict[int, str],
    event: int | None,
) -> None:
    medium = "|".join((f"audio 4000 RTP/AVP {formats}", *(f"rtpmap:{entry}" for entry in maps)))
    answer, parameters = make(ours).answer(sdp(medium))
    assert (parameters.codec, parameters.payload_type) == (codec, payload_type)
    assert parameters.receive_payload_types == heard
    assert parameters.telephone_event_payload_type == event
    assert parameters.receive_telephone_event == ({event} if event else set())
    answered = our_audio(answer)
    offered = [int(text) for text in formats.split()]
    assert answered.payload_types() == [n for n in dict.fromkeys(offered) if n in heard or n == event]
    assert {n: entry.encoding for n, entry in answered.rtpmaps().items() if n in heard} == heard


@pytest.mark.parametrize(
    ("attributes", "session", "expected"),
    [
        ((), (), 20),
        (("ptime:30",), (), 30),
        (("ptime:20",), ("ptime:40",), 20),
        ((), ("ptime:40",), 40),
        (("ptime:5",), (), 10),
        (("ptime:200",), (), 60),
        (("ptime:33",), (), 30),
        (("ptime:0",), (), 20),
        (("ptime:x",), (), 20),
        (("ptime:" + "9" * 5_000,), (), 20),
        (("ptime: 30 ",), (), 30),
        (("maxptime:150",), (), 20),
        (("maxptime:10",), (), 10),
        (("ptime:40", "maxptime:30"), (), 30),
    ],
)
def test_packets_are_as_long_as_the_peer_would_like(
    attributes: tuple[str, ...], session: tuple[str, ...], expected: int
) -> None:
    answer, parameters = make().answer(sdp(audio(*attributes), session=session))
    assert parameters.ptime_ms == expected
    assert our_audio(answer).get("ptime") == str(expected)


@pytest.mark.parametrize(
    ("connection", "attributes", "remote", "rtcp"),
    [
        ("IN IP4 192.0.2.7", (), PEER, ("192.0.2.7", 4001)),
        ("IN IP4 192.0.2.7", ("c=IN IP4 192.0.2.8",), ("192.0.2.8", 4000), ("192.0.2.8", 4001)),
        (None, ("c=IN IP4 192.0.2.8",), ("192.0.2.8", 4000), ("192.0.2.8", 4001)),
        ("IN IP6 2001:DB8:0:0::7", (), ("2001:db8::7", 4000), ("2001:db8::7", 4001)),
        ("IN IP4 192.0.2.7", ("rtcp:53020",), PEER, ("192.0.2.7", 53020)),
        ("IN IP4 192.0.2.7", ("rtcp:53020 IN IP4 192.0.2.9",), PEER, ("192.0.2.9", 53020)),
        ("IN IP4 192.0.2.7", ("rtcp:53020 IN IP4 name.example",), PEER, None),
        ("IN IP4 192.0.2.7", ("rtcp:70000",), PEER, ("192.0.2.7", 4001)),
        ("IN IP4 192.0.2.7", ("rtcp",), PEER, ("192.0.2.7", 4001)),
    ],
)
def test_where_the_peer_is(
    connection: str | None, attributes: tuple[str, ...], remote: tuple[str, int], rtcp: tuple[str, int] | None
) -> None:
    _, parameters = make().answer(sdp(audio(*attributes), connection=connection))
    assert (parameters.remote, parameters.remote_rtcp, parameters.direction) == (remote, rtcp, "sendrecv")


@pytest.mark.parametrize(
    "connection", ["IN IP4 name.example", "IN IP4 224.2.1.1/127", "IN IP4 224.2.1.1", "IN IP6 fe80::1%eth0"]
)
def test_a_peer_at_a_name_or_a_group_is_refused(connection: str) -> None:
    negotiation = make()
    with pytest.raises(RemoteProtocolError) as refusal:
        negotiation.answer(sdp(audio(), connection=connection))
    assert refusal.value.status == 488
    assert negotiation.parameters is None


def test_rtcp_shares_the_port_where_offered_and_ever_after() -> None:
    negotiation = make()
    answer, parameters = negotiation.answer(sdp(audio("rtcp:5000", "rtcp-mux")))
    assert (parameters.rtcp_mux, parameters.remote_rtcp) == (True, PEER)
    assert our_audio(answer).get("rtcp-mux") == ""
    assert our_audio(negotiation.offer()).get("rtcp-mux") == ""
    assert our_audio(make().offer()).get("rtcp-mux") is None


def test_the_last_port_has_no_rtcp_port_above_it() -> None:
    _, parameters = make().answer(sdp(audio(port=65_535)))
    assert (parameters.remote, parameters.remote_rtcp) == (("192.0.2.7", 65_535), None)


def test_we_are_at_ipv6() -> None:
    answer, _ = make(address="2001:db8::1").answer(sdp(audio()))
    assert b"o=- 77 1 IN IP6 2001:db8::1\r\n" in answer
    assert b"c=IN IP6 2001:db8::1\r\n" in answer


# --- media lines


@pytest.mark.parametrize(
    ("media", "ports"),
    [
        ((audio(), "image 5000 udptl t38"), [10_000, 0]),
        (("video 5000 RTP/AVP 96|rtpmap:96 H264/90000", audio()), [0, 10_000]),
        ((audio(), audio(port=6000)), [10_000, 0]),
        ((audio(port=0), audio(port=6000)), [0, 10_000]),
        (("audio 5000 RTP/SAVP 0", audio()), [0, 10_000]),
        (("audio 5000 RTP/AVP 18", audio()), [0, 10_000]),
        (("audio 5000 RTP/AVP", audio(), "message 0 TCP/MSRP *"), [0, 10_000, 0]),
    ],
)
def test_one_audio_is_taken_and_every_line_answered(media: tuple[str, ...], ports: list[int]) -> None:
    offer = sdp(*media)
    answer, _ = make().answer(offer)
    theirs, ours = parse(offer).media, parse(answer).media
    assert [medium.port for medium in ours] == ports
    assert [(medium.kind, medium.protocol) for medium in ours] == [(medium.kind, medium.protocol) for medium in theirs]
    assert all(mine.formats == yours.formats for mine, yours in zip(ours, theirs, strict=True) if mine.port == 0)


@pytest.mark.parametrize(
    "media",
    [
        (),
        ("audio 4000 RTP/SAVP 0 8",),
        ("audio 4000 RTP/SAVPF 0 8",),
        ("audio 4000 UDP/TLS/RTP/SAVPF 0 8",),
        ("audio 4000 RTP/AVP 9 18",),
        ("audio 4000 RTP/AVP 101|rtpmap:101 telephone-event/8000",),
        ("audio 4000 RTP/AVP",),
        ("audio 0 RTP/AVP 0",),
        ("image 4000 udptl t38",),
        ("video 4000 RTP/AVP 0",),
    ],
)
def test_nothing_in_common_is_488(media: tuple[str, ...]) -> None:
    assert refused(make(), sdp(*media)) == 488


@pytest.mark.parametrize("offer", [b"", b"hello", sdp(audio(), connection=None), sdp("audio 99999 RTP/AVP 0")])
def test_a_bad_offer_is_400(offer: bytes) -> None:
    assert refused(make(), offer) == 400


def test_fax_in_mid_call_is_488_and_the_call_goes_on() -> None:
    negotiation = make()
    answer, parameters = negotiation.answer(sdp(audio()))
    assert refused(negotiation, sdp("image 5000 udptl t38")) == 488
    assert refused(negotiation, sdp(audio(), connection=None)) == 400
    assert negotiation.parameters == parameters
    assert negotiation.answer(sdp(audio())) == (answer, parameters)


# --- directions and hold


@pytest.mark.parametrize(
    ("theirs", "ours", "met"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "sendonly", "sendonly"),
        ("inactive", "sendonly", "inactive"),
        ("sendrecv", "recvonly", "recvonly"),
        ("sendonly", "recvonly", "recvonly"),
        ("recvonly", "recvonly", "inactive"),
        ("inactive", "recvonly", "inactive"),
        ("sendrecv", "inactive", "inactive"),
        ("sendonly", "inactive", "inactive"),
        ("recvonly", "inactive", "inactive"),
        ("inactive", "inactive", "inactive"),
    ],
)
def test_directions_meet(theirs: str, ours: Direction, met: str) -> None:
    negotiation = make()
    negotiation.direction = ours
    answer, parameters = negotiation.answer(sdp(audio(theirs)))
    assert parameters.direction == met == direction_of(our_audio(answer))
    assert parameters.sends == (met in ("sendrecv", "sendonly"))
    assert parameters.receives == (met in ("sendrecv", "recvonly"))


@pytest.mark.parametrize(
    ("hold", "direction", "remote"),
    [
        (sdp(audio("sendonly")), "recvonly", PEER),
        (sdp(audio("sendonly"), end=""), "recvonly", PEER),
        (sdp(audio("sendonly "), end="\n"), "recvonly", PEER),
        (sdp(audio("inactive")), "inactive", PEER),
        (sdp(audio(), session=("sendonly",)), "recvonly", PEER),
        (sdp(audio("sendonly"), session=("sendrecv",)), "recvonly", PEER),
        (sdp(audio(), connection="IN IP4 0.0.0.0"), "recvonly", None),
        (sdp(audio("c=IN IP4 0.0.0.0", "sendrecv")), "recvonly", None),
        (sdp(audio("sendonly"), connection="IN IP4 0.0.0.0"), "recvonly", None),
        (sdp(audio("recvonly"), connection="IN IP4 0.0.0.0"), "inactive", None),
        (sdp(audio("inactive"), connection="IN IP4 0.0.0.0"), "inactive", None),
        (sdp(audio(), connection="IN IP6 ::"), "recvonly", None),
        (sdp(audio(port=0)), "inactive", None),
    ],
)
def test_hold_in_every_form_and_back(hold: bytes, direction: str, remote: tuple[str, int] | None) -> None:
    negotiation = make()
    talking, parameters = negotiation.answer(sdp(audio()))
    held, held_parameters = negotiation.answer(hold)
    assert (held_parameters.direction, held_parameters.remote) == (direction, remote)
    assert not held_parameters.sends
    assert b"c=IN IP4 198.51.100.1" in held, "we never say 0.0.0.0 ourselves"
    assert version(held) == version(talking) + 1
    resumed, resumed_parameters = negotiation.answer(sdp(audio()))
    assert resumed_parameters == parameters
    assert version(resumed) == version(talking) + 2


def test_a_disabled_stream_is_answered_with_port_zero() -> None:
    negotiation = make()
    negotiation.answer(sdp(audio()))
    answer, _ = negotiation.answer(sdp(audio(port=0)))
    assert [medium.port for medium in parse(answer).media] == [0]
    assert parse(negotiation.offer()).media[0].port == 10_000


def test_our_own_hold_and_back() -> None:
    negotiation = make()
    negotiation.answer(sdp(audio()))
    negotiation.direction = "sendonly"
    assert direction_of(our_audio(negotiation.offer())) == "sendonly"
    assert negotiation.receive_answer(sdp(audio("recvonly"))).direction == "sendonly"
    negotiation.direction = "sendrecv"
    assert direction_of(our_audio(negotiation.offer())) == "sendrecv"
    assert negotiation.receive_answer(sdp(audio())).direction == "sendrecv"


# --- the version


def test_the_version_changes_with_the_description_only() -> None:
    negotiation = make()
    first, _ = negotiation.answer(sdp(audio()))
    same, _ = negotiation.answer(sdp(audio()).replace(b"o=peer 1 1", b"o=peer 1 2"))
    assert same == first
    moved, parameters = negotiation.answer(sdp(audio(port=4444)))
    assert moved == first, "the peer moved, we did not"
    assert parameters.remote == ("192.0.2.7", 4444)
    other, parameters = negotiation.answer(sdp(audio(formats="8 101")))
    assert (parameters.codec, parameters.receive_payload_types) == ("PCMA", {8: "PCMA"}), (
        "though its version is the same"
    )
    assert version(other) == version(first) + 1
    assert parse(other).origin.session_id == parse(first).origin.session_id


def test_a_remapped_payload_type_is_followed() -> None:
    negotiation = make()
    negotiation.answer(sdp(audio()))
    _, parameters = negotiation.answer(sdp("audio 4000 RTP/AVP 0 96|rtpmap:96 telephone-event/8000"))
    assert parameters.telephone_event_payload_type == 96
    assert our_audio(negotiation.offer()).payload_types() == [0, 8, 96]


# --- our offers


def test_a_late_offer_and_its_answer() -> None:
    negotiation = make()
    offer = our_audio(negotiation.offer())
    assert (offer.port, offer.payload_types(), direction_of(offer)) == (10_000, [0, 8, 101], "sendrecv")
    parameters = negotiation.receive_answer(sdp(audio(formats="8 101", port=5000)))
    assert (parameters.codec, parameters.payload_type, parameters.remote) == ("PCMA", 8, ("192.0.2.7", 5000))
    assert parameters.receive_payload_types == {8: "PCMA"}
    assert negotiation.parameters == parameters


def test_codecs_are_offered_best_first() -> None:
    assert our_audio(make(("PCMA", "PCMU")).offer()).payload_types() == [8, 0, 101]
    assert our_audio(make(("PCMA",)).offer()).payload_types() == [8, 101]


def test_an_offer_within_a_call_keeps_what_was_agreed() -> None:
    negotiation = make()
    negotiation.answer(sdp("image 0 udptl t38", audio("ptime:30", formats="8 0 101"), "video 6 RTP/AVP 31"))
    media = parse(negotiation.offer()).media
    assert [(medium.kind, medium.port) for medium in media] == [("image", 0), ("audio", 10_000), ("video", 0)]
    assert media[1].payload_types() == [8, 0, 101], "the codec in use comes first"
    assert media[1].get("ptime") == "30"
    parameters = negotiation.receive_answer(sdp("image 0 udptl t38", audio(), "video 0 RTP/AVP 31"))
    assert parameters.remote == PEER


def test_a_reinvite_without_sdp_gets_a_full_offer_even_on_hold() -> None:
    negotiation = make()
    negotiation.answer(sdp(audio("sendonly", formats="8")))
    offer = our_audio(negotiation.offer())
    assert (direction_of(offer), offer.payload_types()) == ("sendrecv", [8, 0, 101])


def test_a_number_never_changes_its_meaning() -> None:
    negotiation = make()
    negotiation.answer(sdp("audio 4000 RTP/AVP 0 101 96|rtpmap:101 speex/8000|rtpmap:96 iLBC/8000"))
    assert our_audio(negotiation.offer()).payload_types() == [0, 8, 97]
    negotiation = make()
    negotiation.answer(sdp("audio 4000 RTP/AVP 98 0 99|rtpmap:98 PCMU/8000|rtpmap:99 telephone-event/8000"))
    assert our_audio(negotiation.offer()).payload_types() == [98, 8, 99], "of two numbers the preferred one"


def test_an_answer_with_numbers_of_its_own() -> None:
    negotiation = make()
    negotiation.offer()
    parameters = negotiation.receive_answer(sdp("audio 4000 RTP/AVP 0 96|rtpmap:96 telephone-event/8000"))
    assert parameters.telephone_event_payload_type == 96, "we send with the peer's number"
    assert parameters.receive_telephone_event == {96, 101}, "and hear both"
    parameters = negotiation.receive_answer(sdp("audio 4000 RTP/AVP 0"))
    assert (parameters.telephone_event_payload_type, parameters.receive_telephone_event) == (None, frozenset())


def test_the_last_of_several_answers_holds() -> None:
    negotiation = make()
    negotiation.offer()
    negotiation.receive_answer(sdp(audio(port=5000)))
    assert negotiation.receive_answer(sdp(audio(port=6000))).remote == ("192.0.2.7", 6000)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 400),
        (sdp(), 400),
        (sdp(audio(), audio()), 400),
        (sdp(audio(), connection=None), 400),
        (sdp(audio(port=0)), 488),
        (sdp("audio 4000 RTP/AVP 9"), 488),
        (sdp("audio 4000 RTP/SAVP 0"), 488),
        (sdp("video 4000 RTP/AVP 0"), 488),
    ],
)
def test_a_bad_answer_changes_nothing(answer: bytes, status: int) -> None:
    negotiation = make()
    negotiation.answer(sdp(audio()))
    before = negotiation.parameters
    negotiation.offer()
    with pytest.raises(RemoteProtocolError) as caught:
        negotiation.receive_answer(answer)
    assert (caught.value.status, negotiation.parameters) == (status, before)


def test_a_refresh_is_answered_by_what_holds_and_an_offer_on_its_way_stays_one() -> None:
    negotiation = make()
    with pytest.raises(LocalProtocolError):
        negotiation.receive_refresh(sdp(audio()))
    negotiation.answer(sdp(audio("sendonly")))
    assert negotiation.receive_refresh(sdp(audio("sendonly", port=5000))).remote == ("192.0.2.7", 5000)
    assert negotiation.parameters is not None
    assert negotiation.parameters.direction == "recvonly"
    with pytest.raises(LocalProtocolError):
        negotiation.receive_answer(sdp(audio()))
    negotiation.offer()
    with pytest.raises(RemoteProtocolError):
        negotiation.receive_refresh(sdp())
    assert negotiation.receive_refresh(sdp(audio("sendonly"))).direction == "recvonly"
    assert negotiation.receive_answer(sdp(audio())).direction == "sendrecv"


def test_a_refresh_of_a_stream_that_is_disabled_changes_nothing() -> None:
    negotiation = make()
    negotiation.answer(sdp(audio()))
    negotiation.answer(sdp(audio(port=0)))
    assert negotiation.receive_refresh(sdp(audio(port=0))).remote is None


def test_an_answer_needs_an_offer() -> None:
    negotiation = make()
    with pytest.raises(LocalProtocolError):
        negotiation.receive_answer(sdp(audio()))
    negotiation.offer()
    negotiation.answer(sdp(audio()))
    with pytest.raises(LocalProtocolError):
        negotiation.receive_answer(sdp(audio()))


@pytest.mark.parametrize("codecs", [(), ("OPUS",), ("PCMU", "G729")])
def test_a_codec_we_do_not_have(codecs: tuple[str, ...]) -> None:
    with pytest.raises(LocalProtocolError):
        make(codecs)


# --- two of us


codecs = st.sampled_from([("PCMU",), ("PCMA",), ("PCMU", "PCMA"), ("PCMA", "PCMU")])
directions = st.sampled_from(list(DIRECTIONS))


@given(codecs, codecs, st.lists(st.tuples(st.booleans(), directions, directions), max_size=6))
def test_two_of_us_always_agree(
    codecs_a: tuple[str, ...], codecs_b: tuple[str, ...], exchanges: list[tuple[bool, Direction, Direction]]
) -> None:
    a = Negotiation(address="192.0.2.1", port=1000, codecs=codecs_a, session_id=1)
    b = Negotiation(address="192.0.2.2", port=2000, codecs=codecs_b, session_id=2)
    seen: dict[str, SessionDescription] = {}
    for a_offers, a.direction, b.direction in exchanges:
        offerer, answerer = (a, b) if a_offers else (b, a)
        offer = offerer.offer()
        if not set(codecs_a) & set(codecs_b):
            assert refused(answerer, offer) == 488
            continue
        answer, theirs = answerer.answer(offer)
        ours = offerer.receive_answer(answer)
        assert (ours.sends, ours.receives) == (theirs.receives, theirs.sends)
        assert ours.codec == theirs.codec
        assert {ours.remote, theirs.remote} == {("192.0.2.1", 1000), ("192.0.2.2", 2000)}
        for data in (offer, answer):
            description = parse(data)
            last = seen.get(description.origin.address)
            assert last is None or (last.media == description.media) == (last.origin == description.origin)
            seen[description.origin.address] = description
