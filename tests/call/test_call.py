import json
from base64 import b64decode
from collections.abc import Callable

import pytest
from call.stage import CALLER, EVENT, FRAME_S, NO_OTHER, QUIET, REMNANT, SPEECH, SSRC, Stage, describe, messages

from sipagent.audio.g711 import ULAW_TO_ALAW
from sipagent.call import events
from sipagent.call.call import RETRY_AFTER_S
from sipagent.call.conversation import GOODBYE
from sipagent.call.ending import ENDING_S, TAIL_MS
from sipagent.call.phase import Phase
from sipagent.call.watchdog import DeadAirSettings
from sipagent.rtp.packet import Packet
from sipagent.rtp.rtcp import ReceiverReport, SourceDescription, build_compound

GREETING = "Greet the caller."
DEAD_AIR = DeadAirSettings()
NO_MEDIA_S = DEAD_AIR.hang_up_s
TAIL_S = TAIL_MS / 1000 + FRAME_S


@pytest.fixture
def stage() -> Stage:
    """A call that is up."""
    stage = Stage()
    stage.answer()
    return stage


def packet(packet: Packet | None) -> Packet:
    assert packet is not None
    return packet


def hang_up_by_tool(stage: Stage, *, goodbye_ms: int) -> None:
    """The model takes up the last response.create, says goodbye, or does not, and hangs up."""
    stage.respond("Goodbye!" if goodbye_ms else "", ms=goodbye_ms)
    stage.call_function("hang_up")
    stage.done()


# From INVITE to 200


def test_it_rings_and_sees_whether_the_model_is_there() -> None:
    stage = Stage()
    assert stage.feed(stage.call.receive_invite, describe()) == [events.Ring(), events.ConnectModel()]
    assert stage.call.phase is Phase.RINGING
    assert stage.call.next_packet(now=stage.now) is None


def test_it_answers_when_the_model_is_ready_and_greets() -> None:
    stage = Stage(greeting=GREETING)
    stage.feed(stage.call.receive_invite, describe())
    stage.advance(0.3)
    stage.feed(stage.call.model_connected)
    stage.say("session.created", session={"id": "sess_1"})
    assert not stage.of(events.Accept)
    stage.advance(0.2)
    stage.say("session.updated", session=stage.sent("session.update")[0]["session"])
    kinds = [type(output) for output in stage.outputs[-4:]]
    assert kinds == [events.ModelReady, events.Accept, events.Answered, events.SendModel]
    (answered,) = stage.of(events.Answered)
    assert answered.codec == "PCMU"
    assert answered.setup_s == pytest.approx(0.5)
    (create,) = stage.sent("response.create")
    assert create["response"]["instructions"] == GREETING
    assert b"m=audio 10000 RTP/AVP 0" in stage.of(events.Accept)[0].body


def test_without_a_greeting_the_caller_speaks_first(stage: Stage) -> None:
    assert not stage.sent("response.create")


def test_the_caller_hears_something_from_the_first_tick(stage: Stage) -> None:
    assert packet(stage.tick()).payload == QUIET["PCMU"]
    assert stage.call.remote == CALLER


def test_packets_are_a_step_of_one_and_160_apart(stage: Stage) -> None:
    packets = [packet(stage.tick()) for _ in range(50)]
    first = packets[0]
    for n, each in enumerate(packets):
        assert each.sequence_number == (first.sequence_number + n) % 2**16
        assert each.timestamp == (first.timestamp + 160 * n) % 2**32
        assert each.ssrc == first.ssrc
        assert each.payload_type == 0


@pytest.mark.parametrize(
    ("offer", "status"),
    [
        (b"nonsense", 400),
        (describe((18,)), 488),
        (describe().replace(b"RTP/AVP", b"RTP/SAVP"), 488),
        (describe().replace(b"m=audio 4000", b"m=audio 0"), 488),
    ],
)
def test_a_bad_offer_is_refused(offer: bytes, status: int) -> None:
    stage = Stage()
    stage.feed(stage.call.receive_invite, offer)
    (reject,) = stage.of(events.Reject)
    assert reject.status == status
    assert not stage.of(events.ConnectModel)
    assert stage.ended.reason == f"rejected_{status}"
    assert stage.ended.duration_s == 0.0


@pytest.mark.parametrize("phase", ["unreachable", "connected", "created", "refused", "mute"])
def test_without_a_model_the_caller_may_try_again(phase: str) -> None:
    """Whatever goes wrong before the answer is 503 with Retry-After."""
    stage = Stage()
    stage.feed(stage.call.receive_invite, describe())
    if phase != "unreachable":
        stage.feed(stage.call.model_connected)
    if phase in ("created", "refused"):
        stage.say("session.created", session={"id": "sess_1"})
    if phase == "refused":
        stage.say("error", error={"type": "invalid_request_error", "code": "invalid_api_key", "message": "no"})
    elif phase == "mute":
        stage.advance(60.0)
    else:
        stage.feed(stage.call.model_lost, 0 if phase == "unreachable" else 1006, "gone")
    (reject,) = stage.of(events.Reject)
    assert (reject.status, reject.retry_after_s) == (503, RETRY_AFTER_S)
    assert reject.reason
    (failed,) = stage.of(events.ModelFailed)
    assert failed.message == reject.reason
    assert stage.ended.reason == "rejected_503"
    assert stage.of(events.CloseModel)
    assert stage.call.get_timer() is None


def test_a_model_that_takes_another_format_is_no_model() -> None:
    stage = Stage()
    stage.feed(stage.call.receive_invite, describe((8,)))
    stage.feed(stage.call.model_connected)
    stage.say("session.created", session={"id": "sess_1"})
    session = stage.sent("session.update")[0]["session"]
    assert session["audio"]["output"]["format"] == {"type": "audio/pcma"}
    session["audio"]["output"]["format"] = {"type": "audio/pcm", "rate": 24000}
    stage.say("session.updated", session=session)
    assert [(reject.status, reject.retry_after_s) for reject in stage.of(events.Reject)] == [(503, RETRY_AFTER_S)]
    assert stage.of(events.ModelFailed)[0].kind == "fatal"


# A late offer


def test_a_late_offer_is_ours() -> None:
    stage = Stage(greeting=GREETING)
    stage.answer(b"")
    assert b"m=audio 10000 RTP/AVP 0 8 101" in stage.of(events.Accept)[0].body
    assert stage.tick() is None
    stage.feed(stage.call.receive_ack, describe((0,)))
    assert packet(stage.tick()).payload == QUIET["PCMU"]
    assert stage.call.remote == CALLER


def test_what_the_agent_says_before_the_late_answer_is_kept_for_the_caller() -> None:
    stage = Stage(greeting=GREETING)
    stage.answer(b"")
    stage.respond()
    audio = stage.speak(400)
    assert stage.play(200) == b""
    stage.feed(stage.call.receive_ack, describe((0,)))
    assert stage.play(400) == audio


def test_the_late_answer_may_choose_the_other_codec() -> None:
    stage = Stage(greeting=GREETING)
    stage.answer(b"")
    stage.feed(stage.call.receive_ack, describe((8,)))
    stage.respond()
    audio = stage.speak(20)
    sent = packet(stage.tick())
    assert (sent.payload_type, sent.payload) == (8, audio.translate(ULAW_TO_ALAW))


@pytest.mark.parametrize("answer", [b"", b"nonsense", describe((18,))])
def test_a_call_whose_media_never_come_about_is_ended(answer: bytes) -> None:
    stage = Stage()
    stage.answer(b"")
    stage.feed(stage.call.receive_ack, answer)
    assert len(stage.of(events.HangUp)) == 1
    assert stage.ended.reason.startswith("bad_answer")


def test_an_answer_that_nobody_asked_for_is_passed_over(stage: Stage) -> None:
    assert stage.feed(stage.call.receive_ack, describe((8,), direction="sendonly")) == []
    assert packet(stage.tick()).payload_type == 0
    assert stage.feed(stage.call.receive_ack, b"") == []


# Re-INVITE


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_hold_and_back(stage: Stage, direction: str) -> None:
    before = packet(stage.tick())
    (accept,) = (
        output
        for output in stage.feed(stage.call.receive_reinvite, describe(direction=direction, version=2))
        if isinstance(output, events.Accept)
    )
    assert (b"a=recvonly" if direction == "sendonly" else b"a=inactive") in accept.body
    assert [stage.tick() for _ in range(10)] == [None] * 10
    stage.feed(stage.call.receive_reinvite, describe(version=3))
    assert stage.of(events.HeldByPeer) == [events.HeldByPeer(is_held=True), events.HeldByPeer(is_held=False)]
    after = packet(stage.tick())
    assert after.sequence_number == (before.sequence_number + 1) % 2**16
    assert after.timestamp == (before.timestamp + 11 * 160) % 2**32


def test_on_hold_the_agent_waits_with_the_rest_of_its_sentence(stage: Stage) -> None:
    stage.hear("." * 10 + "s" * 10 + "." * 30)
    stage.respond()
    audio = stage.speak(200)
    assert stage.play(100) == audio[:800]
    stage.feed(stage.call.receive_reinvite, describe(direction="sendonly", version=2))
    assert stage.play(100) == b""
    stage.feed(stage.call.receive_reinvite, describe(version=3))
    assert stage.play(100) == audio[800:]


def test_hold_music_is_no_speech(stage: Stage) -> None:
    stage.hear("." * 10 + "s" * 10)
    stage.feed(stage.call.receive_reinvite, describe(direction="sendonly", version=2))
    assert stage.sent("input_audio_buffer.clear")
    stage.outputs.clear()
    stage.hear("s" * 50)
    assert not stage.sent()
    assert not stage.of(events.SpeechStarted)


def test_a_reinvite_without_an_offer_gets_ours(stage: Stage) -> None:
    (accept,) = stage.feed(stage.call.receive_reinvite, b"")
    assert isinstance(accept, events.Accept)
    assert b"m=audio 10000 RTP/AVP 0 8 101" in accept.body
    stage.feed(stage.call.receive_ack, describe(direction="inactive", version=2))
    assert stage.of(events.HeldByPeer) == [events.HeldByPeer(is_held=True)]


def test_a_reinvite_whose_answer_is_lacking_changes_nothing(stage: Stage) -> None:
    stage.feed(stage.call.receive_reinvite, b"")
    assert stage.feed(stage.call.receive_ack, b"") == []
    assert packet(stage.tick()).payload_type == 0


@pytest.mark.parametrize(("offer", "status"), [(b"nonsense", 400), (describe((18,), version=2), 488)])
def test_a_bad_reinvite_is_refused_and_the_call_goes_on(stage: Stage, offer: bytes, status: int) -> None:
    (reject,) = stage.feed(stage.call.receive_reinvite, offer)
    assert isinstance(reject, events.Reject)
    assert reject.status == status
    assert stage.call.phase is Phase.UP
    assert packet(stage.tick()).payload_type == 0


def test_the_wire_may_change_its_codec_but_the_model_does_not(stage: Stage) -> None:
    stage.feed(stage.call.receive_reinvite, describe((8,), version=2))
    silent = packet(stage.tick())
    assert (silent.payload_type, silent.payload) == (8, QUIET["PCMA"])
    stage.hear("." * 15, codec="PCMA")
    stage.hear("s" * 10, codec="PCMA")
    appended = b"".join(b64decode(message["audio"]) for message in stage.sent("input_audio_buffer.append"))
    assert appended[-160:] == SPEECH.translate(bytes.maketrans(ULAW_TO_ALAW, bytes(range(256))))
    stage.hear("." * 30, codec="PCMA")
    stage.respond()
    audio = stage.speak(20)
    spoken = packet(stage.tick())
    assert (spoken.payload_type, spoken.payload) == (8, audio.translate(ULAW_TO_ALAW))


def test_packets_of_the_old_law_that_are_still_on_their_way_are_understood(stage: Stage) -> None:
    stage.hear("." * 15)
    stage.feed(stage.call.receive_reinvite, describe((8, 0), version=2))
    stage.hear("s" * 10)
    appended = b64decode(stage.sent("input_audio_buffer.append")[-1]["audio"])
    assert appended == SPEECH


# Barge-in, from packet to packet


def test_barge_in(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond("one two three four five six", ms=3000)
    stage.play(1240)
    fresh: list[events.Output] = []
    while not messages(fresh, "response.cancel"):
        fresh = stage.hear("s")
    (truncate,) = messages(fresh, "conversation.item.truncate")
    assert truncate["audio_end_ms"] == 1240
    assert packet(stage.tick()).payload[REMNANT:] == QUIET["PCMU"][REMNANT:]
    assert all(packet(stage.tick()).payload == QUIET["PCMU"] for _ in range(20))


def test_keys(stage: Stage) -> None:
    stage.press("7")
    assert stage.of(events.DigitPressed) == [events.DigitPressed("7")]
    stage.advance(1.0)
    assert [item["item"]["content"][0]["text"] for item in stage.sent("conversation.item.create")] == [
        "The caller pressed 7 on the keypad."
    ]


def test_a_key_whose_end_is_lost_is_released_by_the_clock(stage: Stage) -> None:
    stage.feed(stage.call.receive_rtp, stage.caller.press("7")[0], CALLER)
    assert not stage.of(events.DigitPressed)
    stage.advance(0.5)
    assert stage.of(events.DigitPressed) == [events.DigitPressed("7")]


def test_a_number_that_ends_by_the_clock_is_told_at_once(stage: Stage) -> None:
    """The key released by a timer completes the number: no other timer is wanted for the same moment."""
    stage.feed(stage.call.receive_rtp, stage.caller.press("#")[0], CALLER)
    stage.advance(0.5)
    (item,) = stage.sent("conversation.item.create")
    assert item["item"]["content"][0]["text"] == "The caller pressed # on the keypad."


def test_a_gap_is_given_up_by_the_clock(stage: Stage) -> None:
    stage.hear("." * 15)
    lost, *behind = (stage.caller.say(SPEECH) for _ in range(4))
    assert lost
    for data in behind:
        stage.feed(stage.call.receive_rtp, data, CALLER)
    assert not stage.of(events.SpeechStarted)
    stage.advance(0.1)
    assert stage.of(events.SpeechStarted)


def test_a_stranger_is_not_heard(stage: Stage) -> None:
    stage.hear("." * 15)
    for _ in range(20):
        stage.feed(stage.call.receive_rtp, stage.caller.say(SPEECH), ("203.0.113.9", 9))
    assert not stage.of(events.SpeechStarted)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x00" * 200, b"\x80\xc8\x00\x06" + b"\xff" * 24, b"\xff" * 3000])
def test_bytes_are_only_bytes(stage: Stage, data: bytes) -> None:
    stage.feed(stage.call.receive_rtp, data, CALLER)
    stage.feed(stage.call.receive_rtcp, data, CALLER)
    stage.feed(stage.call.receive_model, data)
    assert stage.call.phase is Phase.UP


# The end


def test_hang_up_lets_the_goodbye_finish(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond("Thank you for calling. Goodbye!")
    audio = stage.speak(1000)
    stage.call_function("hang_up")
    assert stage.call.phase is Phase.ENDING
    stage.done()
    assert stage.play(1000) == audio
    assert not stage.of(events.HangUp)
    stage.play(round(TAIL_S * 1000))
    assert len(stage.of(events.HangUp)) == 1
    assert stage.ended.reason == "agent"
    assert stage.of(events.AgentSaid)[-1].text == "Thank you for calling. Goodbye!"
    assert len(stage.sent("response.create")) == 1


def test_hang_up_without_a_word_asks_for_a_goodbye_first(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    hang_up_by_tool(stage, goodbye_ms=0)
    _, goodbye = stage.sent("response.create")
    assert GOODBYE in goodbye["response"]["instructions"]
    assert goodbye["response"]["tool_choice"] == "none"
    assert stage.play(400) == QUIET["PCMU"] * 20
    assert not stage.of(events.HangUp)
    stage.respond(response_id="resp_2", item_id="goodbye")
    audio = stage.speak(200, response_id="resp_2", item_id="goodbye")
    assert stage.play(200) == audio
    stage.play(200)
    assert not stage.of(events.HangUp)  # the response may say more
    stage.finish(response_id="resp_2", item_id="goodbye")
    stage.play(round(TAIL_S * 1000))
    assert stage.ended.reason == "agent"


def test_the_goodbye_is_not_interrupted(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    hang_up_by_tool(stage, goodbye_ms=1000)
    stage.outputs.clear()
    stage.hear("s" * 20)
    stage.press("1")
    assert not stage.of(events.BargedIn)
    assert not stage.sent()


def test_a_goodbye_that_never_comes_is_not_waited_for(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond()
    stage.call_function("hang_up")
    stage.advance(ENDING_S - 0.1)
    assert not stage.of(events.HangUp)
    stage.advance(0.1)
    assert stage.ended.reason == "goodbye_timeout"


def test_other_tools_are_cancelled_with_the_call(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond()
    stage.call_function("lookup")
    stage.feed(stage.call.leg_ended, "bye")
    assert stage.of(events.CancelTools)
    assert stage.feed(stage.call.tool_finished, "fc", "too late") == []
    assert stage.ended.reason == "bye"


def test_a_tool_that_is_back_during_the_goodbye_does_not_start_another_response(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond(ms=200)
    stage.call_function("lookup", call_id="fc_1")
    stage.call_function("hang_up", call_id="fc_2")
    stage.done()
    stage.outputs.clear()
    stage.feed(stage.call.tool_finished, "fc_1", "here")
    assert not stage.sent("response.create")


def test_a_call_that_lasts_too_long_ends_with_a_goodbye() -> None:
    stage = Stage(max_call_s=60.0)
    stage.answer()
    stage.hear("." * round(59.9 / FRAME_S))
    assert not stage.sent("response.create")
    stage.advance(0.11)
    (create,) = stage.sent("response.create")
    assert GOODBYE in create["response"]["instructions"]
    stage.respond(ms=100)
    stage.finish()
    stage.play(100 + round(TAIL_S * 1000))
    assert stage.ended.reason == "max_duration"
    assert stage.ended.duration_s == pytest.approx(60.0 + 0.11 + TAIL_MS / 1000, abs=0.02)


def test_draining_lets_the_sentence_finish_and_says_goodbye(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond()
    audio = stage.speak(400)
    stage.play(100)
    stage.feed(stage.call.drain)
    assert len(stage.sent("response.create")) == 1
    stage.finish()
    assert len(stage.sent("response.create")) == 2
    assert stage.play(300) == audio[800:]
    stage.respond(response_id="resp_2", item_id="goodbye", ms=100)
    stage.finish(response_id="resp_2", item_id="goodbye")
    stage.play(100 + round(TAIL_S * 1000))
    assert stage.ended.reason == "drained"


def test_a_caller_who_still_hears_it_ring_is_sent_elsewhere_when_we_drain() -> None:
    stage = Stage()
    stage.feed(stage.call.receive_invite, describe())
    stage.feed(stage.call.drain)
    assert [(reject.status, reject.retry_after_s) for reject in stage.of(events.Reject)] == [(503, RETRY_AFTER_S)]
    assert stage.ended.reason == "rejected_503"


def test_to_drain_twice_changes_nothing(stage: Stage) -> None:
    stage.feed(stage.call.drain)
    assert stage.feed(stage.call.drain) == []


@pytest.mark.parametrize("is_speaking", [True, False])
def test_a_model_lost_in_mid_call_ends_it_when_its_last_word_is_out(is_speaking: bool) -> None:
    stage = Stage(continuity=NO_OTHER)
    stage.answer()
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond()
    audio = stage.speak(400) if is_speaking else b""
    stage.feed(stage.call.model_lost, 1006, "gone")
    assert stage.of(events.ModelFailed)
    assert stage.play(len(audio) // 8) == audio
    assert not stage.of(events.HangUp)
    stage.play(round(TAIL_S * 1000))
    assert stage.ended.reason == "model_failed"
    assert stage.feed(stage.call.model_lost, 1006, "gone") == []


def test_a_model_lost_during_the_goodbye_is_not_waited_for(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    hang_up_by_tool(stage, goodbye_ms=0)
    stage.feed(stage.call.model_lost, 1006, "gone")
    stage.play(round(TAIL_S * 1000))
    assert stage.ended.reason == "agent"


def test_we_may_hang_up_at_once(stage: Stage) -> None:
    fresh = stage.feed(stage.call.hang_up)
    kinds = [type(output) for output in fresh]
    assert kinds == [events.HangUp, events.CancelTools, events.CloseModel, events.Ended]
    assert stage.ended.reason == "hung_up"


def test_the_last_word_is_said_in_rtcp_too(stage: Stage) -> None:
    stage.tick()
    fresh = stage.feed(stage.call.leg_ended, "bye")
    (farewell,) = [output for output in fresh if isinstance(output, events.SendRtcp)]
    assert farewell.destination == (CALLER[0], CALLER[1] + 1)
    assert stage.ended.media.packets_sent == 1


# Nothing comes after the end


def reach_new(stage: Stage) -> None:
    """Before the INVITE."""


def reach_ringing(stage: Stage) -> None:
    stage.feed(stage.call.receive_invite, describe())


def reach_connected(stage: Stage) -> None:
    reach_ringing(stage)
    stage.feed(stage.call.model_connected)
    stage.say("session.created", session={"id": "sess_1"})


def reach_up(stage: Stage) -> None:
    stage.answer()


def reach_waiting_for_the_answer(stage: Stage) -> None:
    stage.answer(b"")


def reach_caller_speaking(stage: Stage) -> None:
    stage.answer()
    stage.hear("." * 15 + "s" * 10)


def reach_agent_speaking(stage: Stage) -> None:
    reach_caller_speaking(stage)
    stage.hear("." * 30)
    stage.respond(ms=1000)
    stage.play(200)


def reach_hold(stage: Stage) -> None:
    reach_agent_speaking(stage)
    stage.feed(stage.call.receive_reinvite, describe(direction="sendonly", version=2))


def reach_key_down(stage: Stage) -> None:
    reach_agent_speaking(stage)
    stage.feed(stage.call.receive_rtp, stage.caller.press("1")[0], CALLER)


def reach_tool(stage: Stage) -> None:
    reach_agent_speaking(stage)
    stage.call_function("lookup")


def reach_goodbye(stage: Stage) -> None:
    reach_agent_speaking(stage)
    stage.call_function("hang_up")


def reach_model_lost(stage: Stage) -> None:
    reach_agent_speaking(stage)
    stage.feed(stage.call.model_lost, 1006, "gone")


@pytest.mark.parametrize("ends", ["leg_ended", "hang_up"])
@pytest.mark.parametrize(
    "reach",
    [
        reach_new,
        reach_ringing,
        reach_connected,
        reach_up,
        reach_waiting_for_the_answer,
        reach_caller_speaking,
        reach_agent_speaking,
        reach_hold,
        reach_key_down,
        reach_tool,
        reach_goodbye,
        reach_model_lost,
    ],
)
def test_nothing_comes_after_the_end(reach: Callable[[Stage], None], ends: str) -> None:
    stage = Stage(records=True)
    reach(stage)
    if ends == "leg_ended":
        stage.feed(stage.call.leg_ended, "bye")
        assert not stage.of(events.HangUp)
    else:
        stage.feed(stage.call.hang_up)
    assert stage.ended.reason == ("bye" if ends == "leg_ended" else "hung_up")
    assert stage.call.phase is Phase.ENDED
    before = len(stage.outputs)
    call = stage.call
    for late in (call.model_connected, call.handle_timer, call.drain, call.hang_up):
        stage.feed(late)
        assert call.get_timer() is None
    stage.feed(call.leg_ended, "again")
    stage.feed(call.receive_reinvite, describe(version=9))
    stage.feed(call.receive_reinvite, b"")
    stage.feed(call.receive_ack, describe(version=9))
    stage.feed(call.tool_finished, "fc", "late")
    stage.feed(call.model_lost, 1000, "")
    for event in ({"type": "session.created"}, {"type": "response.created", "response": {"id": "x"}}):
        stage.feed(call.receive_model, json.dumps(event))
    stage.hear("s" * 20)
    stage.press("1")
    stage.feed(call.receive_rtcp, bytes((0x80, 201, 0, 1)) + b"abcd", CALLER)
    for _ in range(100):
        assert stage.tick() is None
        assert call.get_timer() is None
    assert len(stage.outputs) == before


# The recording


def test_both_sides_are_recorded_from_the_answer_to_the_end() -> None:
    stage = Stage(records=True, greeting=GREETING)
    stage.answer()
    stage.respond()
    audio = stage.speak(1000)
    for n in range(150):
        stage.tick()
        stage.feed(stage.call.receive_rtp, stage.caller.say(SPEECH if n >= 100 else QUIET["PCMU"]), CALLER)
    stage.feed(stage.call.leg_ended, "bye")
    pieces = stage.of(events.RecordAudio)
    assert {piece.audio_format.codec for piece in pieces} == {"PCMU"}
    assert all(len(piece.caller) == len(piece.agent) for piece in pieces)
    caller = b"".join(piece.caller for piece in pieces)
    agent = b"".join(piece.agent for piece in pieces)
    assert agent.index(audio) == 0
    assert caller.index(SPEECH) == 16_000
    assert caller.count(SPEECH) == 50
    assert stage.ended.duration_s == pytest.approx(3.0)


def test_a_call_that_is_not_recorded_is_not(stage: Stage) -> None:
    stage.play(3000)
    stage.feed(stage.call.leg_ended, "bye")
    assert not stage.of(events.RecordAudio)


def test_the_stage_knows_the_payload_type_of_keys() -> None:
    stage = Stage()
    stage.answer()
    assert f"a=rtpmap:{EVENT} telephone-event/8000".encode() in stage.of(events.Accept)[0].body


def test_a_caller_of_whom_nothing_comes_is_asked_for_and_gone_after_a_minute() -> None:
    stage = Stage()
    stage.answer()
    stage.hear("." * 50)
    stage.advance(DEAD_AIR.warn_s)
    (dead_air,) = stage.of(events.DeadAir)
    assert dead_air.silent_s == pytest.approx(DEAD_AIR.warn_s, abs=0.1)
    assert not stage.of(events.AskForLife)
    stage.advance(DEAD_AIR.probe_s - DEAD_AIR.warn_s)
    assert len(stage.of(events.AskForLife)) == 1
    stage.advance(NO_MEDIA_S - DEAD_AIR.probe_s - 0.1)
    assert not stage.of(events.HangUp)
    stage.advance(0.2)
    assert stage.ended.reason == "no_media"
    assert len(stage.of(events.DeadAir)) == len(stage.of(events.AskForLife)) == 1


def test_a_caller_who_sends_no_silence_is_heard_of_by_his_reports() -> None:
    stage = Stage()
    stage.answer()
    stage.hear("." * 50)
    report = build_compound([ReceiverReport(SSRC), SourceDescription(SSRC, "caller")])
    for _ in range(60):
        stage.advance(4.9)
        stage.feed(stage.call.receive_rtcp, report, (CALLER[0], CALLER[1] + 1))
    assert not stage.of(events.DeadAir)
    assert not stage.of(events.Ended)


def test_on_hold_a_caller_may_be_silent_for_as_long_as_he_likes(stage: Stage) -> None:
    stage.feed(stage.call.receive_reinvite, describe(direction="sendonly", version=2))
    stage.advance(10 * NO_MEDIA_S)
    stage.feed(stage.call.receive_reinvite, describe(version=3))
    stage.advance(NO_MEDIA_S - 0.1)
    assert not stage.of(events.Ended)


def test_who_does_not_acknowledge_is_not_talked_to_for_long() -> None:
    stage = Stage()
    stage.answer()
    sent = [stage.tick() for _ in range(200)]
    assert sent.count(None) == pytest.approx(100, abs=1)
    assert None not in sent[:99]
    stage.feed(stage.call.receive_ack, b"")
    assert stage.tick() is not None


def test_who_is_heard_needs_no_ack_to_be_talked_to() -> None:
    stage = Stage()
    stage.answer()
    stage.hear("." * 150)
    assert stage.tick() is not None


def test_a_key_pressed_before_the_answer_is_meant_for_nobody() -> None:
    stage = Stage()
    stage.feed(stage.call.receive_invite, describe())
    stage.feed(stage.call.model_connected)
    stage.press("5")
    stage.advance(1.0)
    assert not stage.of(events.DigitPressed)
    assert stage.call.phase is Phase.RINGING


def test_a_key_pressed_on_hold_is_meant_for_nobody(stage: Stage) -> None:
    stage.feed(stage.call.receive_reinvite, describe(direction="sendonly", version=2))
    stage.press("5")
    stage.feed(stage.call.receive_reinvite, describe(version=3))
    stage.advance(2.0)
    assert not stage.of(events.DigitPressed)


def test_a_long_answer_is_said_to_its_end_before_we_drain(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond("A long story.", ms=30_000)
    stage.finish()
    stage.feed(stage.call.drain)
    stage.play(30_000)
    assert not stage.of(events.Ended)
    assert GOODBYE in stage.sent("response.create")[-1]["response"]["instructions"]
