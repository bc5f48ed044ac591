"""A call whose model is lost, stalls or reaches its end, and goes on with another session."""

from base64 import b64decode
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from call.stage import INTERRUPTS, NO_OTHER, Stage, describe

from sipagent.audio.clip import Clip
from sipagent.audio.noise import comfort_noise
from sipagent.call import events
from sipagent.call.continuity import CONTINUE, ContinuitySettings
from sipagent.realtime.settings import SessionSettings

INVITE = describe()
TURN = "." * 15 + "s" * 10 + "." * 30
"""A turn of the caller's and the silence that ends it."""


def started(**settings: Any) -> Stage:
    """A call that is up."""
    stage = Stage(**settings)
    stage.answer()
    return stage


def lose(stage: Stage, code: int = 1006, reason: str = "gone") -> None:
    """Let the connection in use break."""
    stage.feed(stage.call.model_lost, code, reason, stage.connection)


def go_on(stage: Stage) -> None:
    """Let the next connection be asked for, and come to be; then it is used as soon as it may be."""
    stage.advance(0.2)
    stage.connect_again()
    stage.advance(0.05)


def items(stage: Stage) -> list[tuple[str, str]]:
    """What the session in use was told of the past: kind or role, and words."""
    found = []
    for message in stage.sent_on(stage.connection):
        match message:
            case {"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": [part]}}:
                found.append((role, part["text"]))
            case {"type": "conversation.item.create", "item": {"type": "function_call", "name": name}}:
                found.append(("call", name))
            case {"type": "conversation.item.create", "item": {"type": "function_call_output", "output": output}}:
                found.append(("output", output))
            case {"type": "input_audio_buffer.append", "audio": audio}:
                found.append(("audio", str(len(b64decode(audio)))))
            case {"type": "input_audio_buffer.commit"}:
                found.append(("commit", ""))
    return found


def answer_turn(stage: Stage, words: str = "It is noon.", *, ms: int = 200, **names: str) -> None:
    """Let the caller ask and the model answer, and let it be heard."""
    stage.hear(TURN)
    stage.say("input_audio_buffer.committed", item_id="turn")
    said = {"item_id": "turn", "transcript": "What time is it?"}
    stage.say("conversation.item.input_audio_transcription.completed", **said)
    stage.respond(words, ms=ms, **names)
    stage.finish(**names)
    stage.play(ms + 100)


def test_another_session_is_told_what_was_said_and_the_call_goes_on() -> None:
    stage = started()
    answer_turn(stage)
    lose(stage)
    assert [type(fact) for fact in stage.outputs[-1:]] == [events.ModelLost]
    go_on(stage)
    assert items(stage) == [("user", "What time is it?"), ("assistant", "It is noon.")]
    (resumed,) = stage.of(events.ModelResumed)
    assert resumed.gap_ms <= 250
    assert resumed.engine == 0
    assert not stage.sent_on(2, "response.create"), "nobody owes a word"
    answer_turn(stage, "Still noon.", response_id="resp_2", item_id="item_2")
    assert [said.text for said in stage.of(events.AgentSaid)] == ["It is noon.", "Still noon."]
    assert not stage.of(events.ModelFailed)
    assert not stage.of(events.Ended)


def test_what_was_being_said_is_heard_and_then_continued() -> None:
    stage = started()
    stage.hear(TURN)
    stage.respond()
    stage.transcribe("Once upon a time")
    audio = stage.speak(400)
    lose(stage)
    go_on(stage)
    assert not stage.of(events.UseModel), "the agent still speaks"
    assert stage.play(400) == audio
    stage.advance(0.05)
    assert items(stage)[-1] == ("assistant", "Once upon a time —")
    (create,) = stage.sent_on(2, "response.create")
    assert create["response"]["instructions"] == CONTINUE


def test_a_question_that_nobody_answered_is_asked_again() -> None:
    stage = started()
    stage.hear(TURN)
    said = sum(len(b64decode(message["audio"])) for message in stage.sent("input_audio_buffer.append"))
    assert stage.sent("response.create")
    lose(stage)
    go_on(stage)
    assert items(stage) == [("audio", str(said)), ("commit", "")]
    assert len(stage.sent_on(2, "response.create")) == 1


def test_what_the_caller_says_meanwhile_is_kept() -> None:
    stage = started()
    lose(stage)
    stage.hear(TURN)
    assert not stage.sent("input_audio_buffer.append")
    stage.connect_again()
    stage.advance(0.05)
    (audio, commit) = items(stage)
    assert int(audio[1]) >= 10 * 160
    assert commit[0] == "commit"
    assert len(stage.sent_on(2, "response.create")) == 1


def test_a_turn_in_the_middle_of_which_the_model_is_lost_is_whole() -> None:
    stage = started()
    stage.hear("." * 15 + "s" * 10)
    lose(stage)
    stage.hear("s" * 10)
    stage.connect_again()
    stage.advance(0.05)
    stage.hear("s" * 5 + "." * 30)
    kinds = [kind for kind, _ in items(stage)]
    assert kinds[-1] == "commit"
    assert sum(int(size) for kind, size in items(stage) if kind == "audio") >= 25 * 160
    assert len(stage.sent_on(2, "response.create")) == 1


def test_where_the_model_judges_turns_speech_is_kept_and_silence_is_not() -> None:
    stage = started(turn_detection="server")
    stage.hear("." * 200 + "s" * 100)
    lose(stage)
    stage.hear("s" * 10)
    go_on(stage)
    (audio,) = [int(size) for kind, size in items(stage) if kind == "audio"]
    assert 110 * 160 <= audio <= (110 + 16) * 160, "and a moment before it"


def test_the_caller_interrupts_what_is_still_being_played() -> None:
    stage = started()
    stage.hear(TURN)
    stage.respond()
    stage.transcribe("Once upon a time there was a clock")
    stage.speak(2000)
    lose(stage)
    go_on(stage)
    stage.play(400)
    stage.hear(INTERRUPTS + "." * 40)
    stage.advance(0.05)
    assert not stage.sent_on(2, "conversation.item.truncate"), "the item is none of this session's"
    (*_, (_, said)), turn = items(stage)[:3], items(stage)[3:]
    assert said.startswith("Once")
    assert said.endswith(" —")
    assert {kind for kind, _ in turn[:-1]} == {"audio"}
    assert turn[-1][0] == "commit"
    creates = stage.sent_on(2, "response.create")
    assert [create["response"].get("instructions") for create in creates] == [None]


def test_a_function_that_runs_is_answered_in_the_new_session() -> None:
    stage = started()
    stage.hear(TURN)
    stage.respond()
    stage.call_function("look_up", call_id="fc_1")
    lose(stage)
    go_on(stage)
    assert ("call", "look_up") in items(stage)
    assert not stage.sent_on(2, "response.create")
    stage.feed(stage.call.tool_finished, "fc_1", "found")
    assert items(stage)[-1] == ("output", "found")
    assert len(stage.sent_on(2, "response.create")) == 1


def test_a_function_that_ends_meanwhile_is_spoken_of_once() -> None:
    stage = started()
    stage.hear(TURN)
    stage.respond()
    stage.call_function("look_up", call_id="fc_1")
    stage.done()
    lose(stage)
    stage.feed(stage.call.tool_finished, "fc_1", "found")
    go_on(stage)
    assert items(stage)[-2:] == [("call", "look_up"), ("output", "found")]
    assert len(stage.sent_on(2, "response.create")) == 1


def test_it_is_tried_again_later_and_later_until_it_is_given_up() -> None:
    stage = started(continuity=ContinuitySettings(give_up_s=5.0))
    stage.hear(".")
    lose(stage)
    at = []
    while not stage.of(events.ModelFailed):
        stage.advance(0.01)
        if len(stage.of(events.ConnectModel)) > 1 + len(at):
            at.append(stage.now)
            stage.feed(stage.call.model_lost, 0, "refused", 1 + len(at))
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert 4 <= len(at) <= 12
    assert all(gap <= 2.02 for gap in gaps)
    assert gaps[-1] > 2 * gaps[0]
    assert stage.now - at[0] <= 5.1
    stage.play(400)
    assert stage.ended.reason == "model_failed"


def test_a_wrong_key_is_not_tried_again() -> None:
    stage = started()
    lose(stage, 401, "Incorrect API key provided")
    stage.advance(30.0)
    assert len(stage.of(events.ConnectModel)) == 1
    assert [failed.kind for failed in stage.of(events.ModelFailed)] == ["fatal"]


def test_a_wrong_key_leads_to_the_other_engine_at_once() -> None:
    stage = started(continuity=ContinuitySettings(fallbacks=(SessionSettings("other"),)))
    answer_turn(stage)
    lose(stage, 401, "Incorrect API key provided")
    go_on(stage)
    assert [connect.engine for connect in stage.of(events.ConnectModel)] == [0, 1]
    assert stage.of(events.EngineChanged) == [events.EngineChanged(1)]
    assert ("assistant", "It is noon.") in items(stage)


def test_after_some_attempts_the_other_engine_has_its_turn() -> None:
    stage = started(continuity=ContinuitySettings(fallbacks=(SessionSettings("other"),)))
    lose(stage)
    for _ in range(3):
        stage.advance(2.0)
        stage.feed(stage.call.model_lost, 503, "overloaded", stage.of(events.ConnectModel)[-1].number)
    stage.advance(2.0)
    assert [connect.engine for connect in stage.of(events.ConnectModel)] == [0, 0, 0, 0, 1]


def test_before_the_answer_the_other_engine_is_tried_at_once() -> None:
    stage = Stage(continuity=ContinuitySettings(fallbacks=(SessionSettings("other"),)))
    stage.feed(stage.call.receive_invite, INVITE)
    lose(stage, 0, "refused")
    assert [connect.engine for connect in stage.of(events.ConnectModel)] == [0, 1]
    assert not stage.of(events.Reject)
    stage.connect_again()
    assert stage.of(events.Accept)


@pytest.mark.parametrize("ends", ["drain", "hang_up"])
def test_a_call_that_ends_seeks_nobody(ends: str) -> None:
    stage = started()
    lose(stage)
    stage.advance(0.2)
    stage.feed(getattr(stage.call, ends))
    stage.play(400)
    assert stage.ended.reason == {"drain": "drained", "hang_up": "hung_up"}[ends]
    assert stage.call.get_timer() is None


def test_late_words_of_a_lost_session_are_nobody_s() -> None:
    stage = started()
    stage.hear(TURN)
    stage.respond()
    lose(stage)
    go_on(stage)
    stage.connection = 1
    assert stage.feed(stage.call.model_connected, 1) == []
    stage.speak(400)
    assert not stage.of(events.AgentStarted)
    lose(stage)
    assert len(stage.of(events.ModelLost)) == 1


# What is heard meanwhile


NOISE = Clip({8000: comfort_noise(-45.0, random=Random(1), rate=8000)})


def silent_ms(stage: Stage, ms: int) -> int:
    """How long it is silent before something is heard."""
    for n in range(ms // 20):
        packet = stage.tick()
        if packet is not None and set(packet.payload) - {0xFF, 0x7F}:
            return n * 20
    return ms


def test_the_caller_hears_something_soon_and_nothing_once_the_model_is_back() -> None:
    stage = started(continuity=ContinuitySettings(filler=NOISE))
    stage.play(200)
    lose(stage)
    assert silent_ms(stage, 1000) <= 200
    stage.connect_again()
    stage.play(100)
    assert silent_ms(stage, 1000) == 1000


def test_the_last_words_come_before_the_filler() -> None:
    stage = started(continuity=ContinuitySettings(filler=NOISE))
    stage.hear(TURN)
    stage.respond()
    audio = stage.speak(400)
    lose(stage)
    assert stage.play(400) == audio
    assert 100 <= silent_ms(stage, 1000) <= 200


# Stalls


def test_a_model_that_does_not_answer_is_noticed_and_then_given_up() -> None:
    stage = started(continuity=ContinuitySettings(filler=NOISE))
    stage.hear(TURN)
    asked_at = stage.now
    stage.advance(2.1)
    (stalled,) = stage.of(events.ModelStalled)
    assert stalled.silent_s == pytest.approx(2.0, abs=0.01)
    assert silent_ms(stage, 1000) <= 200
    stage.advance(asked_at + 8.1 - stage.now)
    assert stage.of(events.ModelLost)
    assert events.CloseModel(1) in stage.outputs
    go_on(stage)
    assert len(stage.sent_on(2, "response.create")) == 1


def test_a_model_that_comes_to_is_kept() -> None:
    stage = started(continuity=ContinuitySettings(filler=NOISE))
    stage.hear(TURN)
    stage.advance(5.0)
    stage.respond("Here I am.", ms=200)
    assert stage.of(events.ModelRecovered)
    stage.finish()
    stage.play(400)
    stage.advance(30.0)
    assert not stage.of(events.ModelLost)
    assert len(stage.of(events.ModelStalled)) == 1


def test_a_stall_in_mid_sentence_is_one_as_well() -> None:
    stage = started()
    stage.hear(TURN)
    stage.respond("Once upon a time", ms=200)
    stage.advance(2.1)
    assert stage.of(events.ModelStalled)


def test_who_owes_nothing_may_be_silent() -> None:
    stage = started()
    answer_turn(stage)
    stage.advance(60.0)
    assert not stage.of(events.ModelStalled)


# The end of a session


SHORT = ContinuitySettings(max_session_s=20.0)
"""Its successor is made ready after 16 s."""


def test_a_session_is_left_in_a_pause_before_its_end() -> None:
    stage = started(continuity=SHORT)
    answer_turn(stage)
    stage.advance(16.0)
    stage.connect_again()
    assert items(stage) == [("user", "What time is it?"), ("assistant", "It is noon.")]
    stage.advance(0.05)
    assert stage.of(events.SessionRolledOver) == [events.SessionRolledOver(2)]
    assert events.CloseModel(1) in stage.outputs
    assert not stage.of(events.ModelLost)
    answer_turn(stage, "Still noon.", response_id="resp_2", item_id="item_2")
    assert len(stage.sent_on(2, "response.create")) == 1


def test_it_is_not_left_while_somebody_speaks_and_nothing_is_said_twice() -> None:
    stage = started(continuity=SHORT)
    stage.advance(14.5)
    stage.hear(TURN)
    stage.say("input_audio_buffer.committed", item_id="turn")
    stage.respond("Once upon a time", ms=3000)
    stage.advance(1.0)
    stage.connect_again()
    stage.connection = 1
    stage.play(1000)
    assert not stage.of(events.SessionRolledOver)
    said = {"item_id": "turn", "transcript": "Tell me a story."}
    stage.say("conversation.item.input_audio_transcription.completed", **said)
    stage.finish()
    stage.play(2200)
    stage.advance(0.05)
    assert stage.of(events.SessionRolledOver)
    stage.connection = 2
    assert items(stage) == [("user", "Tell me a story."), ("assistant", "Once upon a time")]


def test_without_a_pause_it_is_left_while_the_caller_speaks() -> None:
    stage = started(continuity=SHORT)
    stage.advance(15.8)
    stage.hear("s" * 20)
    stage.advance(1.0)
    stage.connect_again()
    while not stage.of(events.SessionRolledOver):
        stage.hear("s" * 5)
    assert stage.now - 1000.0 <= 18.1
    sizes = [int(size) for kind, size in items(stage) if kind == "audio"]
    assert sizes[0] >= 20 * 160, "what was said before is given to the new session in one piece"


def test_the_servers_own_limit_counts() -> None:
    stage = Stage()
    stage.feed(stage.call.receive_invite, INVITE)
    stage.feed(stage.call.model_connected)
    stage.say("session.created", session={"id": "sess_1", "expires_at": round(stage.now) + 60})
    stage.say("session.updated", session=stage.sent("session.update")[-1]["session"])
    stage.advance(47.0)
    assert len(stage.of(events.ConnectModel)) == 1
    stage.advance(2.0)
    assert len(stage.of(events.ConnectModel)) == 2


def test_a_session_that_ends_before_its_time_has_its_successor() -> None:
    stage = started(continuity=SHORT)
    stage.advance(15.9)
    stage.hear("s" * 20)
    stage.connect_again()
    stage.connection = 1
    lose(stage, 1001, "session_expired")
    stage.advance(0.05)
    (resumed,) = stage.of(events.ModelResumed)
    assert resumed.gap_ms <= 20


def test_whoever_wants_no_other_session_has_none() -> None:
    stage = started(continuity=NO_OTHER)
    stage.advance(3400.0)
    assert len(stage.of(events.ConnectModel)) == 1
