"""Wideband beside narrowband: whose order counts, at which clocks keys are pressed, what comfort noise is."""

import pytest

from sipagent.errors import RemoteProtocolError
from sipagent.sdp.description import Media, RtpMap, parse
from sipagent.sdp.formats import Format, fit_ptime, rank, read_map
from sipagent.sdp.negotiation import MediaParameters, Negotiation

MAPS = {
    "opus": "opus/48000/2",
    "L16": "L16/16000",
    "L16-8": "L16/8000",
    "te": "telephone-event/8000",
    "te-16": "telephone-event/16000",
    "te-48": "telephone-event/48000",
    "CN-16": "CN/16000",
    "speex": "speex/16000",
}
ALL = ("G722", "opus", "L16", "PCMU", "PCMA")


def make(*codecs: str) -> Negotiation:
    if not codecs:
        return Negotiation(address="198.51.100.1", port=10_000, session_id=77)
    return Negotiation(address="198.51.100.1", port=10_000, codecs=codecs, session_id=77)


def sdp(formats: str, *attributes: str) -> bytes:
    """Write a peer's description: ``0 111=opus 101=te`` and its attributes."""
    numbers, maps = [], []
    for entry in formats.split():
        number, _, name = entry.partition("=")
        numbers.append(number)
        maps += [f"rtpmap:{number} {MAPS[name]}"] if name else []
    head = ["v=0", "o=peer 1 1 IN IP4 192.0.2.7", "s=-", "c=IN IP4 192.0.2.7", "t=0 0"]
    lines = [*head, f"m=audio 4000 RTP/AVP {' '.join(numbers)}", *(f"a={each}" for each in (*maps, *attributes))]
    return "".join(f"{line}\r\n" for line in lines).encode()


def audio(description: bytes) -> Media:
    return parse(description).media[0]


def sent(parameters: MediaParameters) -> tuple[str, int, int]:
    return parameters.codec, parameters.clock_rate, parameters.payload_type


@pytest.mark.parametrize(
    ("ours", "offer", "chosen", "answered"),
    [
        ((), "111=opus 9 0 8", ("PCMU", 8_000, 0), [0, 8, 9]),
        ((), "9 8 0", ("PCMA", 8_000, 8), [8, 0, 9]),  # of equals, the peer's first
        ((), "9", ("G722", 8_000, 9), [9]),
        ((), "18 111=opus 9", ("G722", 8_000, 9), [9]),
        ((), "111=opus 112=speex", ("opus", 48_000, 111), [111]),
        (("G722", "PCMU", "PCMA"), "0 8 9", ("G722", 8_000, 9), [9, 0, 8]),
        (("opus", "PCMU"), "0 96=opus", ("opus", 48_000, 96), [96]),  # no second clock in one stream
        (("PCMA", "G722", "PCMU"), "0 8 9", ("PCMA", 8_000, 8), [8, 9, 0]),  # no equals: something is between them
        (("L16", "PCMU"), "0 98=L16-8 97=L16", ("L16", 16_000, 97), [97]),
        (("L16", "PCMU"), "0 98=L16-8", ("L16", 8_000, 98), [98, 0]),
        (("L16", "PCMU"), "10 11 0", ("PCMU", 8_000, 0), [0]),  # static L16 is of 44.1 kHz
    ],
)
def test_our_order_decides(
    ours: tuple[str, ...], offer: str, chosen: tuple[str, int, int], answered: list[int]
) -> None:
    answer, parameters = make(*ours).answer(sdp(offer))
    assert sent(parameters) == chosen
    assert audio(answer).payload_types() == answered
    assert list(parameters.receive_formats) == answered
    assert {entry.clock_rate for entry in parameters.receive_formats.values()} == {parameters.clock_rate}


@pytest.mark.parametrize(
    ("ours", "offer", "event", "heard"),
    [
        (("PCMU",), "0 101=te 110=te-48", (101, 8_000), {101: 8_000}),
        (("opus",), "111=opus 101=te 110=te-48", (110, 48_000), {101: 8_000, 110: 48_000}),
        (("opus",), "111=opus 101=te", (101, 8_000), {101: 8_000}),  # older peers know of 8000 only
        (("opus",), "111=opus", (None, 48_000), {}),
        (("G722",), "9 110=te-48 101=te", (101, 8_000), {101: 8_000}),
        (("L16",), "97=L16 101=te 102=te-16", (102, 16_000), {101: 8_000, 102: 16_000}),
        (("PCMU",), "0 110=te-48", (None, 8_000), {}),
    ],
)
def test_keys_are_pressed_at_the_clock_of_the_codec(
    ours: tuple[str, ...], offer: str, event: tuple[int | None, int], heard: dict[int, int]
) -> None:
    answer, parameters = make(*ours).answer(sdp(offer))
    assert (parameters.telephone_event_payload_type, parameters.telephone_event_clock_rate) == event
    assert parameters.receive_telephone_events == heard
    maps = audio(answer).rtpmaps()
    events = {number: entry.clock_rate for number, entry in maps.items() if entry.encoding == "telephone-event"}
    assert events == ({} if event[0] is None else dict([event]))


@pytest.mark.parametrize(
    ("offer", "noise"),
    [("0", {13}), ("0 13", {13}), ("0 13 98=CN-16", {13, 98}), ("0 13=speex", set()), ("0 13=te", set())],
)
def test_comfort_noise_is_understood_and_never_asked_for(offer: str, noise: set[int]) -> None:
    answer, parameters = make().answer(sdp(offer))
    assert parameters.comfort_noise == noise
    assert noise.isdisjoint(audio(answer).payload_types())
    assert b"CN/" not in make(*ALL).offer()


def test_what_an_offer_says() -> None:
    assert make(*ALL).offer().partition(b"m=")[2].decode().splitlines() == [
        "audio 10000 RTP/AVP 9 111 96 97 0 8 101 110 98",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:96 L16/16000",
        "a=rtpmap:97 L16/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:98 telephone-event/16000",
        "a=fmtp:101 0-15",
        "a=fmtp:110 0-15",
        "a=fmtp:98 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ]
    assert len(make().offer()) < 450, "an INVITE goes by UDP while it has less than 1300 bytes (RFC 3261, 18.1.1)"


def test_the_answers_order_and_numbers_hold() -> None:
    negotiation = make()
    offered = audio(negotiation.offer()).rtpmaps()
    assert offered[111] == RtpMap(111, "opus", 48_000, 2)
    parameters = negotiation.receive_answer(sdp("96=opus 0 101=te", "ptime:30"))
    assert sent(parameters) == ("opus", 48_000, 96)
    assert parameters.receive_formats == {
        96: Format("opus", 48_000), 0: Format("PCMU", 8_000), 111: Format("opus", 48_000)
    }  # fmt: skip
    assert parameters.receive_telephone_events == {101: 8_000, 110: 48_000}
    assert parameters.ptime_ms == 20, "no frame of opus has 30 ms"
    assert audio(negotiation.offer()).payload_types()[0] == 111, "the codec in use comes first"


def test_the_codec_may_change_in_mid_call() -> None:
    negotiation = make()
    _, parameters = negotiation.answer(sdp("0 101=te"))
    assert sent(parameters) == ("PCMU", 8_000, 0)
    answer, parameters = negotiation.answer(sdp("98=opus 99=te-48"))
    assert sent(parameters) == ("opus", 48_000, 98)
    assert audio(answer).payload_types() == [98, 99]
    offer = audio(negotiation.offer())
    assert offer.payload_types() == [98, 0, 8, 9, 99, 101]


def test_the_peers_meaning_of_a_number_is_not_used_for_another() -> None:
    negotiation = make()
    negotiation.offer()
    negotiation.answer(sdp("0 101=opus 111=te 9=speex"))
    offered = {number: entry.encoding for number, entry in audio(negotiation.offer()).rtpmaps().items()}
    assert offered[101] == "opus"
    assert offered[111] == "telephone-event"
    assert 9 not in offered
    assert sorted(offered.values()) == ["G722", "PCMA", "PCMU", "opus", "telephone-event", "telephone-event"]


def test_a_failed_offer_teaches_nothing() -> None:
    negotiation = make()
    before = negotiation.offer()
    with pytest.raises(RemoteProtocolError):
        negotiation.answer(sdp("0 99=opus", "x").replace(b"c=IN IP4 192.0.2.7", b"c=IN IP4 name.example"))
    assert negotiation.offer() == before


@pytest.mark.parametrize(
    ("entry", "meaning"),
    [
        (RtpMap(96, "OPUS", 48_000, 2), Format("opus", 48_000)),
        (RtpMap(96, "opus", 48_000), Format("opus", 48_000)),
        (RtpMap(96, "opus", 16_000, 2), None),
        (RtpMap(9, "G722", 16_000), None),
        (RtpMap(96, "L16", 44_100, 2), None),
        (RtpMap(96, "L16", 16_000, 2), None),
        (RtpMap(96, "l16", 16_000), Format("L16", 16_000)),
        (RtpMap(13, "cn", 8_000), Format("CN", 8_000)),
        (RtpMap(96, "iLBC", 8_000), None),
    ],
)
def test_what_a_map_means(entry: RtpMap, meaning: Format | None) -> None:
    assert read_map(entry) == meaning


@pytest.mark.parametrize(
    ("codec", "lengths"),
    [
        (Format("PCMU", 8_000), {1: 10, 10: 10, 33: 30, 60: 60, 200: 60}),
        (Format("opus", 48_000), {5: 10, 20: 20, 30: 20, 50: 40, 60: 60, 120: 60}),
        (Format("L16", 16_000), {20: 20, 60: 40}),
        (Format("L16", 8_000), {60: 60}),
    ],
)
def test_packets_are_as_long_as_the_codec_can(codec: Format, lengths: dict[int, int]) -> None:
    assert {wanted: fit_ptime(wanted, codec) for wanted in lengths} == lengths


def test_the_two_laws_are_equals_side_by_side() -> None:
    assert rank(("G722", "PCMA", "PCMU", "opus")) == {"G722": 0, "PCMA": 1, "PCMU": 1, "opus": 3}
    assert rank(("PCMA", "G722", "PCMU")) == {"PCMA": 0, "G722": 1, "PCMU": 2}
