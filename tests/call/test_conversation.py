import json
from random import Random
from typing import Any

import pytest
from call.stage import CALLER, FRAME_S, INTERRUPTS, REMNANT, Stage, messages

from sipagent.audio.vad import level_dbfs
from sipagent.call import events
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.conversation import GOODBYE, Conversation
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.keypad import PAUSE_S
from sipagent.formats import PCMA, PCMU
from sipagent.realtime.settings import SessionSettings


@pytest.fixture
def stage() -> Stage:
    """A call that is up, with a caller who is silent for now and an agent that waits to be spoken to."""
    stage = Stage()
    stage.answer()
    stage.hear("." * 20)
    stage.outputs.clear()
    return stage


@pytest.fixture
def talking(stage: Stage) -> Stage:
    """The agent has two seconds to say, of which one has gone out."""
    ask(stage)
    stage.respond("one two three four five six seven eight", ms=2000)
    stage.play(1000)
    stage.outputs.clear()
    return stage


def ask(stage: Stage) -> None:
    """A turn of the caller's, up to the response.create."""
    stage.hear("s" * 10)
    stage.hear("." * 30)
    assert stage.sent("response.create")


def fields(message: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(message[name] for name in names)


# The caller's turn


def test_a_turn_is_committed_and_answered(stage: Stage) -> None:
    stage.hear("s" * 10)
    (started,) = stage.of(events.SpeechStarted)
    assert 0 <= stage.now - started.onset_at <= 0.2
    stage.hear("." * 30)
    sent = [message["type"] for message in stage.sent()]
    assert sent[-2:] == ["input_audio_buffer.commit", "response.create"]
    assert set(sent[:-2]) == {"input_audio_buffer.append"}
    (stopped,) = stage.of(events.SpeechStopped)
    assert 160 <= stopped.duration_ms <= 220


def test_nobody_was_interrupted(stage: Stage) -> None:
    ask(stage)
    assert not stage.of(events.BargedIn)
    assert not stage.sent("response.cancel")


def test_what_the_caller_said(stage: Stage) -> None:
    stage.say("conversation.item.input_audio_transcription.completed", item_id="item", transcript="Are you open?")
    assert stage.of(events.CallerSaid) == [events.CallerSaid("Are you open?")]


def test_with_server_detection_the_model_answers_by_itself() -> None:
    stage = Stage(turn_detection="server")
    stage.answer()
    stage.hear("." * 10 + "s" * 10 + "." * 40)
    assert len(stage.sent("input_audio_buffer.append")) == 60
    assert not stage.sent("input_audio_buffer.commit")
    assert not stage.sent("response.create")


# The agent's voice


def test_a_burst_goes_out_at_its_pace(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    audio = stage.speak(400)
    stage.finish()
    assert stage.play(400) == audio
    assert stage.play(40) == b"\xff" * 320


def test_the_first_frame_of_a_talkspurt_is_marked(stage: Stage) -> None:
    ask(stage)
    stage.respond(ms=40)
    stage.finish()
    packets = [stage.tick() for _ in range(3)]
    assert [packet.marker for packet in packets if packet] == [True, False, False]


def test_what_the_agent_said(stage: Stage) -> None:
    ask(stage)
    stage.respond("We are open.", ms=100)
    stage.finish()
    stage.play(80)
    assert not stage.of(events.AgentSaid)
    stage.play(20)
    assert stage.of(events.AgentSaid) == [events.AgentSaid("We are open.", 100, is_cut=False)]
    assert [fact.item_id for fact in stage.of(events.AgentStarted)] == ["item"]


# Barge-in


def test_at_the_first_sound_the_agent_pauses_in_mid_word(talking: Stage) -> None:
    talking.hear("s")
    assert not talking.of(events.AgentPaused)
    assert not messages(talking.hear("s"))
    (paused,) = talking.of(events.AgentPaused)
    assert talking.now - paused.onset_at <= 0.02
    packet = talking.tick()
    assert packet is not None
    assert packet.payload[REMNANT:] == b"\xff" * (160 - REMNANT)
    assert talking.play(100) == b"\xff" * 800


def test_the_agent_is_cut_in_the_call_that_convinces_the_listener(talking: Stage) -> None:
    fresh = talking.hear("s")
    while not talking.of(events.SpeechStarted):
        assert not messages(fresh)
        fresh = talking.hear("s")
    (cancel,) = messages(fresh, "response.cancel")
    assert cancel["response_id"] == "resp"
    (truncate,) = messages(fresh, "conversation.item.truncate")
    assert fields(truncate, "item_id", "content_index", "audio_end_ms") == ("item", 0, 1000)
    assert talking.of(events.BargedIn)[0].discarded_ms == 1000
    assert talking.of(events.Truncated) == [events.Truncated("item", 0, audio_end_ms=1000, received_ms=2000)]
    assert talking.of(events.AgentSaid) == [events.AgentSaid("one two three four —", 1000, is_cut=True)]
    assert not talking.of(events.AgentResumed)


def test_after_a_cough_the_agent_goes_on_where_it_paused(stage: Stage) -> None:
    ask(stage)
    stage.respond("A long story.")
    audio = stage.speak(2000)
    stage.finish()
    heard = stage.play(1000)
    stage.outputs.clear()
    stage.hear("s" * 15)
    coughed_at = stage.now
    rest = b""
    while not rest:
        rest = b"".join(frame for frame in [stage.play(20)] if frame[REMNANT:] != b"\xff" * (160 - REMNANT))
    assert stage.now - coughed_at <= 0.28
    rest += stage.play(980)
    assert rest[REMNANT:] == audio[8000 + REMNANT :], "but for the fade not a sample is lost or said twice"
    assert heard == audio[:8000]
    assert not stage.sent()
    assert stage.of(events.AgentSaid) == [events.AgentSaid("A long story.", 2000, is_cut=False)]


def test_a_cough_over_an_answer_that_has_not_begun_puts_it_off_only_if_it_could_be_a_word(stage: Stage) -> None:
    ask(stage)
    stage.hear("ss" + "." * 14)
    assert not stage.of(events.SpeechStarted)[1:]
    assert stage.of(events.AgentResumed)
    stage.respond(ms=200)
    assert stage.play(100) != b"\xff" * 800


def test_what_is_said_at_the_end_of_a_sentence_is_an_answer(stage: Stage) -> None:
    ask(stage)
    stage.respond("Do you want it?")
    audio = stage.speak(1000)
    stage.finish()
    stage.play(500)
    stage.outputs.clear()
    stage.hear("s" * 10)
    stage.play(220)
    assert stage.play(520)[160 + REMNANT :] == audio[4000 + REMNANT :], "its last words are said"
    stage.hear("." * 5)
    assert not stage.of(events.BargedIn)
    assert [message["type"] for message in stage.sent()][-2:] == ["input_audio_buffer.commit", "response.create"]


def test_while_the_guard_holds_nobody_interrupts() -> None:
    stage = Stage(barge_in=BargeInSettings(guard_s=3.0))
    stage.answer()
    stage.hear("." * 20)
    ask(stage)
    stage.respond(ms=4000)
    stage.play(500)
    stage.hear(INTERRUPTS)
    assert not stage.of(events.AgentPaused)
    assert not stage.of(events.BargedIn)
    stage.hear("." * 100)
    stage.hear("ss")
    assert stage.of(events.AgentPaused)


# What was said aside


@pytest.fixture
def aside() -> Stage:
    """The caller said something short over the agent, who went on; the model has its sound and not yet its words."""
    stage = Stage(transcribes=True)
    stage.answer()
    stage.hear("." * 20)
    ask(stage)
    stage.say("input_audio_buffer.committed", item_id="turn")
    stage.respond("A long story.", ms=4000)
    stage.finish()
    stage.play(1000)
    stage.outputs.clear()
    stage.hear("s" * 15)
    stage.play(260)
    assert stage.of(events.AgentResumed)
    assert [message["type"] for message in stage.sent()] == ["input_audio_buffer.append", "input_audio_buffer.commit"]
    stage.say("input_audio_buffer.committed", item_id="aside")
    stage.outputs.clear()
    return stage


def transcribe(stage: Stage, item_id: str, text: str) -> None:
    stage.say("conversation.item.input_audio_transcription.completed", item_id=item_id, transcript=text)


@pytest.mark.parametrize("text", ["Mm-hm.", "Uh-huh, okay.", ""])
def test_a_sign_of_listening_is_taken_out_of_the_conversation(aside: Stage, text: str) -> None:
    transcribe(aside, "aside", text)
    (message,) = aside.sent()
    assert fields(message, "type", "item_id") == ("conversation.item.delete", "aside")
    assert aside.of(events.Backchanneled) == [events.Backchanneled(text)]
    assert not aside.of(events.CallerSaid)
    assert aside.play(100) != b"\xff" * 800


def test_a_short_stop_stops_the_agent_once_its_word_is_known(aside: Stage) -> None:
    aside.play(100)  # after the one frame that has gone out since the silence
    transcribe(aside, "aside", "Stop!")
    assert aside.of(events.CallerSaid) == [events.CallerSaid("Stop!")]
    assert aside.of(events.Truncated)[0].audio_end_ms == 1120
    assert [message["type"] for message in aside.sent()] == ["conversation.item.truncate", "response.create"]


def test_the_words_of_a_turn_stop_nobody(aside: Stage) -> None:
    transcribe(aside, "turn", "Tell me a story.")
    assert aside.of(events.CallerSaid)
    assert not aside.sent()


def test_the_word_of_an_aside_does_not_answer_for_a_caller_who_speaks_on(aside: Stage) -> None:
    aside.hear(INTERRUPTS)
    aside.outputs.clear()
    transcribe(aside, "aside", "Stop!")
    assert not aside.sent("response.create")


@pytest.mark.parametrize("played_ms", [0, 20, 340, 1980])
def test_the_truncate_names_what_was_put_on_the_wire(stage: Stage, played_ms: int) -> None:
    ask(stage)
    stage.respond(ms=2000)
    stage.play(played_ms)
    fresh = stage.press("1")
    assert [truncate["audio_end_ms"] for truncate in messages(fresh, "conversation.item.truncate")] == [played_ms]


def test_every_item_not_fully_heard_is_truncated(stage: Stage) -> None:
    ask(stage)
    stage.respond(ms=100, item_id="heard")
    stage.say("response.output_audio.done", response_id="resp", item_id="heard", content_index=0)
    stage.speak(400, item_id="cut")
    stage.say("response.output_audio.done", response_id="resp", item_id="cut", content_index=0)
    stage.speak(200, item_id="unheard")
    stage.play(200)
    stage.outputs.clear()
    stage.press("1")
    truncates = stage.sent("conversation.item.truncate")
    assert [fields(truncate, "item_id", "audio_end_ms") for truncate in truncates] == [("cut", 100), ("unheard", 0)]


def test_a_response_that_is_over_is_truncated_and_not_cancelled(talking: Stage) -> None:
    talking.finish()
    talking.hear(INTERRUPTS)
    assert [truncate["audio_end_ms"] for truncate in talking.sent("conversation.item.truncate")] == [1000]
    assert not talking.sent("response.cancel")


def test_what_was_heard_to_its_end_can_not_be_interrupted(talking: Stage) -> None:
    talking.finish()
    talking.play(1000)
    talking.outputs.clear()
    talking.hear("ssss")
    assert talking.of(events.SpeechStarted)
    assert not talking.of(events.BargedIn)
    assert not talking.sent("conversation.item.truncate")


def test_late_audio_of_a_cancelled_response_is_not_heard(talking: Stage) -> None:
    talking.hear(INTERRUPTS)
    talking.speak(200)
    assert talking.play(100)[REMNANT:] == b"\xff" * (800 - REMNANT)
    talking.done(status="cancelled")
    talking.speak(200)
    assert talking.play(100) == b"\xff" * 800


def test_a_response_that_was_only_asked_for_is_cancelled_when_it_comes(stage: Stage) -> None:
    ask(stage)
    stage.hear("s" * 10 + "." * 14)
    assert not stage.sent("response.cancel")
    stage.respond(ms=200)
    assert [cancel["response_id"] for cancel in stage.sent("response.cancel")] == ["resp"]
    assert stage.play(100) == b"\xff" * 800


def test_after_a_barge_in_the_new_turn_is_answered_once_the_old_response_is_over(talking: Stage) -> None:
    talking.hear(INTERRUPTS)
    talking.hear("." * 30)
    assert talking.sent("input_audio_buffer.commit")
    assert not talking.sent("response.create")
    talking.done(status="cancelled")
    assert len(talking.sent("response.create")) == 1


def test_an_agent_that_is_not_to_be_interrupted() -> None:
    stage = Stage(barge_in=BargeInSettings(enabled=False))
    stage.answer()
    stage.hear("." * 20)
    ask(stage)
    stage.respond(ms=1000)
    stage.play(100)
    stage.outputs.clear()
    stage.hear("s" * 10)
    assert stage.of(events.SpeechStarted)
    assert not stage.of(events.BargedIn)
    assert not stage.sent("response.cancel")


def test_a_click_does_not_interrupt(talking: Stage) -> None:
    talking.hear("s......s......s")
    assert not talking.of(events.BargedIn)


def test_a_part_that_the_model_left_open_is_closed_with_its_response(stage: Stage) -> None:
    ask(stage)
    stage.respond("Half a sentence", ms=200)
    stage.done(status="failed")
    stage.play(200)
    assert stage.of(events.AgentSaid) == [events.AgentSaid("Half a sentence", 200, is_cut=False)]
    stage.hear("ssss")
    assert not stage.sent("conversation.item.truncate")


# Keys


def test_keys_are_told_to_the_model_as_one_number(stage: Stage) -> None:
    for digit in "42":
        stage.press(digit)
    assert stage.of(events.DigitPressed) == [events.DigitPressed("4"), events.DigitPressed("2")]
    assert not stage.sent("conversation.item.create")
    stage.advance(PAUSE_S)
    (item,) = stage.sent("conversation.item.create")
    assert item["item"]["content"] == [{"type": "input_text", "text": "The caller pressed 4 2 on the keypad."}]
    assert len(stage.sent("response.create")) == 1


def test_a_key_silences_the_agent_at_once(talking: Stage) -> None:
    fresh = talking.press("5")
    assert messages(fresh, "response.cancel")
    assert [truncate["audio_end_ms"] for truncate in messages(fresh, "conversation.item.truncate")] == [1000]
    packet = talking.tick()
    assert packet is not None
    assert packet.payload[REMNANT:] == b"\xff" * (160 - REMNANT)


def test_a_number_pressed_before_the_goodbye_starts_no_new_conversation(stage: Stage) -> None:
    ask(stage)
    stage.press("4")
    stage.done(status="cancelled")
    stage.outputs.clear()
    stage.feed(stage.call.drain)
    stage.advance(PAUSE_S)
    assert [message["response"]["instructions"] for message in stage.sent("response.create")] == [GOODBYE]
    assert not stage.sent("conversation.item.create")


# Tools


def test_a_tool_is_run_and_its_output_spoken_of(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    stage.call_function("lookup", arguments='{"order": 7}')
    stage.done()
    assert stage.of(events.RunTool) == [events.RunTool("fc", "lookup", '{"order": 7}')]
    assert stage.of(events.ToolCalled) == [events.ToolCalled("lookup", '{"order": 7}')]
    stage.outputs.clear()
    stage.feed(stage.call.tool_finished, "fc", "shipped")
    assert stage.of(events.ToolReturned) == [events.ToolReturned("lookup", "shipped")]
    (item,) = stage.sent("conversation.item.create")
    assert item["item"] == {"type": "function_call_output", "call_id": "fc", "output": "shipped"}
    assert len(stage.sent("response.create")) == 1


def test_the_model_goes_on_when_the_last_tool_is_back(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    stage.call_function("slow", call_id="fc_1")
    stage.call_function("quick", call_id="fc_2")
    stage.done()
    stage.outputs.clear()
    stage.feed(stage.call.tool_finished, "fc_2", "here")
    assert not stage.sent("response.create")
    stage.feed(stage.call.tool_finished, "fc_1", "there")
    assert len(stage.sent("response.create")) == 1


def test_a_tool_that_is_back_before_its_response_is_over_waits_for_that(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    stage.call_function("quick")
    stage.outputs.clear()
    stage.feed(stage.call.tool_finished, "fc", "here")
    assert stage.sent("conversation.item.create")
    assert not stage.sent("response.create")
    stage.done()
    assert len(stage.sent("response.create")) == 1


def test_a_tool_that_is_back_while_the_caller_speaks_does_not_start_the_agent(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    stage.call_function("lookup")
    stage.done()
    stage.hear("s" * 10)
    stage.outputs.clear()
    stage.feed(stage.call.tool_finished, "fc", "here")
    assert stage.sent("conversation.item.create")
    assert not stage.sent("response.create")
    stage.hear("." * 30)
    assert len(stage.sent("response.create")) == 1


def test_a_tool_that_is_back_in_a_turn_that_the_server_judges_is_spoken_of_after_it() -> None:
    stage = Stage(turn_detection="server")
    stage.answer()
    stage.say("response.created", response={"id": "resp", "status": "in_progress"})
    stage.call_function("lookup")
    stage.done()
    stage.hear("s" * 10)
    stage.feed(stage.call.tool_finished, "fc", "here")
    assert not stage.sent("response.create")
    stage.hear("." * 30)
    assert len(stage.sent("response.create")) == 1


def test_a_tool_is_heard_of_once(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    stage.call_function("lookup")
    stage.call_function("lookup")
    stage.done()
    assert len(stage.of(events.RunTool)) == 1
    stage.feed(stage.call.tool_finished, "fc", "here")
    stage.outputs.clear()
    stage.feed(stage.call.tool_finished, "fc", "again")
    stage.feed(stage.call.tool_finished, "nobody asked", "x")
    assert stage.outputs == []


# What the model complains of


def test_complaints_are_told_and_cost_nothing(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    benign = {"type": "invalid_request_error", "code": "response_cancel_not_active", "message": "nothing to cancel"}
    stage.say("error", error=benign)
    stage.say("error", error={"type": "server_error", "code": "server_error", "message": "a bad moment"})
    stage.say("response.done", response={"id": "resp", "status": "failed", "status_details": {"error": {}}})
    codes = [complaint.code for complaint in stage.of(events.ModelComplained)]
    assert codes[:2] == ["response_cancel_not_active", "server_error"]
    assert len(codes) == 3
    assert not stage.of(events.Ended)


def test_a_refused_response_is_told(stage: Stage) -> None:
    ask(stage)
    create_id = stage.sent("response.create")[-1]["event_id"]
    error = {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "no such voice",
        "event_id": create_id,
    }
    stage.say("error", error=error)
    assert stage.of(events.ModelComplained) == [events.ModelComplained("invalid_value", "no such voice")]


# The session is the caller's codec's


def test_the_model_speaks_the_callers_codec() -> None:
    outputs: list[events.Output] = []
    conversation = Conversation(
        ConversationSettings(SessionSettings("model", audio_format=PCMU)),
        audio_format=PCMA,
        emit=outputs.append,
        send=outputs.append,
        random=Random(1),
        press=lambda digits: False,
        account=lambda usage: None,
    )
    conversation.connect()
    conversation.model_connected(now=0.0)
    conversation.receive_model('{"type": "session.created", "session": {"id": "sess"}}', now=0.0)
    (update,) = messages(outputs, "session.update")
    assert update["session"]["audio"]["input"]["format"] == {"type": "audio/pcma"}
    conversation.receive_model(json.dumps({"type": "session.updated", "session": update["session"]}), now=0.0)
    assert conversation.is_ready
    assert conversation.next_frame(now=0.0) == (None, False)


def test_a_hello_over_the_greeting_that_has_not_begun_is_known_to_the_model_and_costs_nothing() -> None:
    stage = Stage(greeting="Greet the caller.")
    stage.answer()
    stage.hear("s" * 15 + "." * 30)
    assert stage.sent("input_audio_buffer.commit")
    assert len(stage.sent("response.create")) == 1
    assert not stage.sent("response.cancel")
    assert not stage.of(events.BargedIn)


def test_more_than_a_hello_over_the_greeting_that_has_not_begun_does_not_replace_it() -> None:
    stage = Stage(greeting="Greet the caller.")
    stage.answer()
    stage.hear(INTERRUPTS + "." * 30)
    metadata = stage.sent("response.create")[0]["response"]["metadata"]
    stage.say("response.created", response={"id": "resp", "metadata": metadata})
    stage.done(status="cancelled")
    first, second = stage.sent("response.create")
    assert "Greet the caller." in first["response"]["instructions"]
    assert second["response"]["instructions"] == first["response"]["instructions"]
    assert not stage.of(events.BargedIn)


def test_a_greeting_that_was_heard_is_not_said_again() -> None:
    stage = Stage(greeting="Greet the caller.")
    stage.answer()
    stage.respond("Welcome.", ms=1000)
    stage.play(200)
    stage.hear(INTERRUPTS)
    stage.done(status="cancelled")
    stage.hear("." * 30)
    assert "instructions" not in stage.sent("response.create")[-1]["response"]


def test_who_goes_on_before_the_agent_speaks_interrupts_nobody(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    stage.hear("s" * 10 + "." * 14)
    assert stage.sent("response.cancel")
    assert not stage.of(events.BargedIn)


def test_a_goodbye_said_after_the_call_of_the_tool_is_said_once(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    stage.call_function("hang_up")
    stage.speak(200)
    stage.finish()
    stage.play(600)
    assert len(stage.sent("response.create")) == 1
    assert stage.ended.reason == "agent"


def test_the_sentence_in_which_the_caller_hangs_up_is_in_the_transcript(stage: Stage) -> None:
    ask(stage)
    stage.respond("We are open from nine to six, every day.", ms=2000)
    stage.play(1000)
    stage.feed(stage.call.leg_ended, "bye")
    (said,) = stage.of(events.AgentSaid)
    assert said.is_cut
    assert said.heard_ms == 1000
    assert not stage.sent("conversation.item.truncate")


def test_what_the_model_could_not_say_for_the_moment_is_asked_for_again(stage: Stage) -> None:
    ask(stage)
    for n, wait_s in ((1, 1.0), (2, 2.0)):
        stage.respond(response_id=f"resp_{n}")
        fail(stage, f"resp_{n}", "server_error")
        stage.advance(wait_s - 0.01)
        assert len(stage.sent("response.create")) == n
        stage.advance(0.01)
        assert len(stage.sent("response.create")) == n + 1
    stage.respond(response_id="resp_3")
    fail(stage, "resp_3", "server_error")
    stage.advance(30.0)
    assert len(stage.sent("response.create")) == 3
    assert len(stage.of(events.ModelComplained)) == 3


def test_what_will_never_be_said_is_not_asked_for_again(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    fail(stage, "resp", "insufficient_quota")
    stage.advance(30.0)
    assert len(stage.sent("response.create")) == 1


def test_the_callers_next_turn_takes_the_place_of_the_retry(stage: Stage) -> None:
    ask(stage)
    stage.respond()
    fail(stage, "resp", "server_error")
    stage.hear("s" * 60 + "." * 30)
    assert len(stage.sent("response.create")) == 2


def test_over_the_agent_softer_sounds_are_taken_for_its_echo(talking: Stage) -> None:
    soft = b"\x6c\xec" * 80
    assert -45.0 < level_dbfs(soft, PCMU) < -40.0
    for _ in range(20):
        talking.advance(FRAME_S)
        talking.feed(talking.call.receive_rtp, talking.caller.say(soft), CALLER)
    assert not talking.of(events.BargedIn)


def fail(stage: Stage, response_id: str, code: str) -> None:
    """The model gives a response up."""
    details = {"type": "failed", "error": {"type": code, "code": code, "message": "no"}}
    stage.say("response.done", response={"id": response_id, "status": "failed", "status_details": details})
