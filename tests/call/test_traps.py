"""What PBXs, trunks and border controllers do to the media of a call (telephony.md, section 1.4): a test a trap."""

from itertools import pairwise

import pytest
from call.stage import CALLER, EVENT, QUIET, SPEECH, SSRC, Stage, describe
from call.test_call import packet
from call.test_outgoing import dialled

from sipagent.audio.g711 import ULAW_TO_ALAW
from sipagent.call import events
from sipagent.call.phase import Phase
from sipagent.rtp.packet import pack_packet


@pytest.fixture
def stage() -> Stage:
    """A call that is up."""
    stage = Stage()
    stage.answer()
    return stage


def sdp(*media: str, version: int = 2, session: tuple[str, ...] = (), end: str = "\r\n") -> bytes:
    """The caller's description, line by line."""
    head = ("v=0", f"o=- 1 {version} IN IP4 {CALLER[0]}", "s=-", f"c=IN IP4 {CALLER[0]}", "t=0 0", *session)
    return ("\r\n".join((*head, *media)) + end).encode()


def reinvite(stage: Stage, offer: bytes) -> bytes:
    """Change the call; return our answer, or our offer."""
    stage.outputs.clear()
    stage.feed(stage.call.receive_reinvite, offer)
    (accept,) = stage.of(events.Accept)
    return accept.body


def refuse(stage: Stage, offer: bytes) -> int:
    """Change the call in a way that we don't take; return the status."""
    stage.outputs.clear()
    stage.feed(stage.call.receive_reinvite, offer)
    (reject,) = stage.of(events.Reject)
    assert stage.call.phase is Phase.UP
    assert packet(stage.tick()).payload_type == 0
    return reject.status


def origin(body: bytes) -> bytes:
    return next(line for line in body.split(b"\r\n") if line.startswith(b"o="))


AUDIO = f"m=audio {CALLER[1]} RTP/AVP 0 {EVENT}"
KEYS = f"a=rtpmap:{EVENT} telephone-event/8000"


# Hold


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (sdp(AUDIO, KEYS, "a=sendonly"), b"a=recvonly"),
        (sdp(AUDIO, KEYS, "a=inactive"), b"a=inactive"),
        (sdp(AUDIO, KEYS, session=("a=sendonly",)), b"a=recvonly"),
        (sdp(AUDIO, "c=IN IP4 0.0.0.0", KEYS), b"a=recvonly"),
        (sdp(AUDIO, "c=IN IP4 0.0.0.0", KEYS, "a=inactive"), b"a=inactive"),
        (sdp(AUDIO.replace("4000", "0")), b"m=audio 0 "),
    ],
    ids=["sendonly", "inactive", "of the session", "by address", "by both", "by port"],
)
def test_hold_in_all_its_forms_is_answered_rightly(stage: Stage, offer: bytes, answer: bytes) -> None:
    body = reinvite(stage, offer)
    assert answer in body
    assert b"0.0.0.0" not in body
    assert stage.tick() is None
    assert b"a=sendrecv" in reinvite(stage, describe(version=3))
    assert packet(stage.tick()).payload_type == 0


def test_a_peer_that_only_listens_is_not_on_hold(stage: Stage) -> None:
    assert b"a=sendonly" in reinvite(stage, sdp(AUDIO, KEYS, "a=recvonly"))
    assert not stage.of(events.HeldByPeer)
    assert packet(stage.tick()).payload_type == 0


def test_diago_sendonly_in_a_last_line_without_its_end_is_hold_all_the_same(stage: Stage) -> None:
    assert b"a=recvonly" in reinvite(stage, sdp(AUDIO, KEYS, "a=sendonly", end=""))


@pytest.mark.parametrize("hold", ["sendonly", "inactive"])
def test_freeswitch_a_reinvite_without_sdp_takes_the_call_off_hold(stage: Stage, hold: str) -> None:
    reinvite(stage, describe(direction=hold, version=2))
    offer = reinvite(stage, b"")
    assert b"a=sendrecv" in offer
    assert b"m=audio 10000 RTP/AVP 0 8 101" in offer
    stage.feed(stage.call.receive_ack, describe(version=3))
    assert packet(stage.tick()).payload_type == 0


def test_freeswitch_a_reinvite_without_sdp_may_confirm_the_hold(stage: Stage) -> None:
    reinvite(stage, describe(direction="sendonly", version=2))
    reinvite(stage, b"")
    stage.feed(stage.call.receive_ack, describe(direction="sendonly", version=3))
    assert stage.tick() is None


# What changes in mid-call


def test_freeswitch_does_not_count_up_its_version(stage: Stage) -> None:
    assert b"a=recvonly" in reinvite(stage, describe(direction="sendonly", version=1))
    assert b"a=sendrecv" in reinvite(stage, describe(version=1))


def test_our_version_goes_up_only_when_something_changes(stage: Stage) -> None:
    first = stage.call._leg._negotiation._version
    assert origin(reinvite(stage, describe(version=2))).split()[2] == str(first).encode()
    assert origin(reinvite(stage, describe(direction="sendonly", version=3))).split()[2] == str(first + 1).encode()


def test_freeswitch_remaps_a_dynamic_payload_type(stage: Stage) -> None:
    body = reinvite(stage, sdp(f"m=audio {CALLER[1]} RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"))
    assert b"m=audio 10000 RTP/AVP 0 96\r\n" in body
    assert b"a=rtpmap:96 telephone-event/8000" in body
    payload = bytes((5, 0x80 | 10)) + (480).to_bytes(2)
    data = pack_packet(96, stage.caller.sequence_number, stage.caller.timestamp, 0x5EED, payload)
    stage.feed(stage.call.receive_rtp, data, CALLER)
    assert [digit.digit for digit in stage.of(events.DigitPressed)] == ["5"]


def test_freeswitch_forgets_the_fmtp_of_keypad_events() -> None:
    stage = Stage()
    stage.answer(sdp(AUDIO, KEYS))
    assert b"a=fmtp:101 0-15" in stage.of(events.Accept)[0].body
    stage.press("7")
    assert [digit.digit for digit in stage.of(events.DigitPressed)] == ["7"]


def test_freeswitch_offers_avp_where_savp_was() -> None:
    stage = Stage()
    secure = f"m=audio {CALLER[1]} RTP/SAVP 0"
    stage.answer(sdp(secure, AUDIO, KEYS))
    assert b"m=audio 0 RTP/SAVP" in stage.of(events.Accept)[0].body
    body = reinvite(stage, sdp(AUDIO, AUDIO.replace("4000", "0"), KEYS))
    assert body.count(b"m=audio") == 2
    assert body.index(b"m=audio 10000 RTP/AVP") < body.index(b"m=audio 0 RTP/AVP")


def test_carriers_move_their_rtp_port(stage: Stage) -> None:
    stage.hear("..")
    reinvite(stage, sdp(AUDIO.replace("4000", "4444"), KEYS))
    packet(stage.tick())
    assert stage.call.remote == (CALLER[0], 4444)


def test_carriers_move_their_rtp_host(stage: Stage) -> None:
    stage.hear("..")
    reinvite(stage, sdp(AUDIO, "c=IN IP4 198.51.100.9", KEYS))
    packet(stage.tick())
    assert stage.call.remote == ("198.51.100.9", CALLER[1])


def test_carriers_change_the_law_right_after_the_answer(stage: Stage) -> None:
    reinvite(stage, describe((8,), version=2))
    stage.feed(stage.call.receive_ack, b"")
    silent = packet(stage.tick())
    assert (silent.payload_type, silent.payload) == (8, QUIET["PCMU"].translate(ULAW_TO_ALAW))


def test_our_stream_is_one_and_the_same_whatever_changes(stage: Stage) -> None:
    """Asterisk stops forwarding when the SSRC changes."""
    before = packet(stage.tick())
    for offer in (describe((8,), version=2), describe(direction="sendonly", version=3), describe(version=4)):
        reinvite(stage, offer)
    after = packet(stage.tick())
    assert after.ssrc == before.ssrc
    assert after.sequence_number == (before.sequence_number + 1) % 2**16


# Streams


def test_asterisk_changes_its_ssrc_in_mid_call(stage: Stage) -> None:
    """Who waits for the old one, or takes the new one for a stranger, is deaf from then on."""
    stage.hear("....")
    for number in range(5):
        stage.advance(0.020)
        stage.feed(stage.call.receive_rtp, pack_packet(0, 7 + number, 9 + 160 * number, SSRC + 1, SPEECH), CALLER)
    assert stage.sent("input_audio_buffer.append")


def test_asterisk_learns_where_media_come_from_by_the_first_packets_it_sees() -> None:
    """So ours are the first: they are there from the answer on, before the caller or the agent has said a word."""
    stage = Stage()
    stage.answer()
    assert packet(stage.tick()).payload == QUIET["PCMU"]
    assert stage.call.remote == CALLER


def test_twilio_makes_noise_of_silence_that_is_not_sent(stage: Stage) -> None:
    """And carriers hang up on who sends nothing."""
    packets = [packet(stage.tick()) for _ in range(100)]
    assert {(each.payload_type, each.payload) for each in packets} == {(0, QUIET["PCMU"])}
    steps = {(after.timestamp - before.timestamp) % 2**32 for before, after in pairwise(packets)}
    assert steps == {160}


def test_twilio_takes_g711_only() -> None:
    (dial,) = dialled().of(events.Dial)
    assert f"m=audio 10000 RTP/AVP 0 8 {EVENT}\r\n".encode() in dial.offer


def test_freeswitch_does_not_rescale_the_duration_of_keys(stage: Stage) -> None:
    """Of a caller with Opus: counted at 48 kHz, told at 8 kHz, and so six times too long."""
    for start in (8_000, 16_000):
        for duration, end in ((960, 0), (2_880, 0), (4_800, 0x80), (4_800, 0x80), (4_800, 0x80)):
            stage.advance(0.020)
            payload = bytes((5, end | 10)) + duration.to_bytes(2)
            data = pack_packet(EVENT, stage.caller.sequence_number, start, SSRC, payload)
            stage.caller.sequence_number += 1
            stage.feed(stage.call.receive_rtp, data, CALLER)
    assert [digit.digit for digit in stage.of(events.DigitPressed)] == ["5", "5"]


# Fax


def test_a_t38_reinvite_is_refused_and_the_call_stays(stage: Stage) -> None:
    assert refuse(stage, sdp("m=image 4002 udptl t38", "a=T38FaxVersion:0")) == 488


def test_an_image_next_to_the_audio_gets_port_zero(stage: Stage) -> None:
    body = reinvite(stage, sdp(AUDIO, KEYS, "m=image 4002 udptl t38"))
    assert b"m=image 0 udptl t38" in body
    assert body.index(b"m=audio 10000") < body.index(b"m=image")
    body = reinvite(stage, describe(version=3) + b"m=image 0 udptl t38\r\n")
    assert b"m=image 0 udptl t38" in body


def test_a_t38_offer_with_the_audio_disabled_is_refused_too(stage: Stage) -> None:
    assert refuse(stage, sdp(AUDIO.replace("4000", "0"), "m=image 4002 udptl t38")) == 488


# Late and early offers


def test_cisco_leaves_the_offer_to_us() -> None:
    stage = Stage()
    stage.answer(b"")
    (accept,) = stage.of(events.Accept)
    assert b"a=sendrecv" in accept.body
    assert stage.tick() is None
    stage.feed(stage.call.receive_ack, describe((8,)))
    assert packet(stage.tick()).payload_type == 8


def test_cisco_wants_our_offer_with_the_ringing() -> None:
    stage = Stage()
    stage.call.receive_invite(b"", wants_early_offer=True, now=stage.now)
    ring, *_ = stage.drain()
    assert isinstance(ring, events.Ring)
    assert b"m=audio 10000 RTP/AVP 0 8 101" in ring.offer
    stage.feed(stage.call.receive_early_answer, describe((8,)))
    stage.feed(stage.call.model_connected)
    stage.say("session.created", session={"id": "sess_1"})
    stage.say("session.updated", session=stage.sent("session.update")[-1]["session"])
    assert packet(stage.tick()).payload_type == 8
    assert stage.feed(stage.call.receive_ack, b"") == []


def test_an_early_answer_that_is_none_ends_the_call() -> None:
    stage = Stage()
    stage.call.receive_invite(b"", wants_early_offer=True, now=stage.now)
    stage.feed(stage.call.receive_early_answer, b"nonsense")
    assert stage.of(events.HangUp)
    assert stage.ended.reason == "bad_answer"


def test_an_update_may_change_the_media_while_it_rings() -> None:
    stage = Stage()
    stage.call.receive_invite(b"", wants_early_offer=True, now=stage.now)
    stage.feed(stage.call.receive_early_answer, describe())
    assert b"RTP/AVP 8 " in reinvite(stage, describe((8,), version=2))
    assert stage.call.phase is Phase.RINGING


# Refreshes


@pytest.mark.parametrize("offer", [describe(), b""], ids=["theirs", "ours"])
def test_a_refresh_that_says_the_same_changes_nothing(offer: bytes) -> None:
    stage = Stage()
    stage.answer(offer)
    if not offer:
        stage.feed(stage.call.receive_ack, describe())
    stage.outputs.clear()
    assert stage.feed(stage.call.receive_refresh, describe()) == []
    assert packet(stage.tick()).payload_type == 0
    version = stage.call._leg._negotiation._version
    assert origin(reinvite(stage, describe(version=2))).split()[2] == str(version).encode()


def test_a_peer_may_answer_our_refresh_with_another_port(stage: Stage) -> None:
    stage.feed(stage.call.receive_refresh, sdp(AUDIO.replace("4000", "4444"), KEYS))
    packet(stage.tick())
    assert stage.call.remote == (CALLER[0], 4444)


def test_a_refresh_on_hold_keeps_the_hold(stage: Stage) -> None:
    reinvite(stage, describe(direction="sendonly", version=2))
    stage.feed(stage.call.receive_refresh, describe(direction="sendonly", version=2))
    assert stage.tick() is None
    reinvite(stage, sdp(AUDIO.replace("4000", "0")))
    stage.feed(stage.call.receive_refresh, sdp(AUDIO.replace("4000", "0")))
    assert stage.tick() is None


@pytest.mark.parametrize("answer", [b"", b"nonsense", sdp("m=audio 0 RTP/AVP 0"), sdp("m=image 0 udptl t38")])
def test_a_bad_answer_to_our_refresh_changes_nothing(stage: Stage, answer: bytes) -> None:
    stage.feed(stage.call.receive_refresh, answer)
    assert stage.call.phase is Phase.UP
    assert packet(stage.tick()).payload_type == 0
    assert stage.call.remote == CALLER
