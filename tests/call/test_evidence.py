"""Whole calls in which what is loud is found to be speech, or not, by Silero's model or by its periodicity."""

import numpy as np
import pytest
from call.stage import CALLER, FRAME_S, SPEECH, Stage

from sipagent.audio.g711 import encode_ulaw
from sipagent.call import events

HISS = np.random.default_rng(1).normal(size=160) * 3_000


def up(vad: str) -> Stage:
    stage = Stage(vad=vad)  # type: ignore[arg-type]
    stage.answer()
    stage.hear("." * 20)
    stage.outputs.clear()
    return stage


def talking(vad: str) -> Stage:
    """The agent has two seconds to say, of which one has gone out."""
    stage = up(vad)
    hear(stage, "s" * 10, 0.9)
    hear(stage, "." * 40, 0.1)
    stage.respond("one two three four five six seven eight", ms=2000)
    stage.play(1000)
    stage.outputs.clear()
    return stage


def hear(stage: Stage, pattern: str, chance: float | None) -> None:
    """Let the caller be heard, and the model answer each question at once, or never."""
    for letter in pattern:
        stage.hear(letter)
        if chance is not None:
            stage.judge(chance)


def hiss(stage: Stage, count: int) -> None:
    frame = encode_ulaw(HISS.astype(np.int16))
    for _ in range(count):
        stage.advance(FRAME_S)
        stage.feed(stage.call.receive_rtp, stage.caller.say(frame), CALLER)


@pytest.fixture
def fused() -> Stage:
    return talking("fused")


def test_loudness_alone_asks_nobody() -> None:
    stage = talking("energy")
    stage.hear("s" * 40)
    assert not stage.of(events.JudgeSpeech)
    assert stage.of(events.BargedIn)


def test_the_agent_pauses_before_the_model_has_said_a_word(fused: Stage) -> None:
    fused.hear("ss")
    assert fused.of(events.AgentPaused)


def test_what_the_model_denies_lets_the_agent_go_on_within_a_quarter_of_a_second(fused: Stage) -> None:
    hear(fused, "s" * 40, 0.05)
    (resumed,) = fused.of(events.AgentResumed)
    assert resumed == events.AgentResumed(0)
    at = next(i for i, output in enumerate(fused.outputs) if isinstance(output, events.AgentResumed))
    frames = sum(isinstance(output, events.JudgeSpeech) for output in fused.outputs[:at])
    assert frames * 32 <= 64 + 200 + 32  # what was before the onset, and the ladder's last step
    assert not fused.of(events.BargedIn)
    assert not fused.of(events.SpeechStarted)
    assert not fused.sent("input_audio_buffer.commit")
    assert not fused.sent("response.cancel")


def test_what_it_confirms_interrupts(fused: Stage) -> None:
    hear(fused, "s" * 40, 0.9)
    assert fused.of(events.BargedIn)
    assert fused.sent("conversation.item.truncate")


def test_a_cough_is_not_even_told_to_the_model() -> None:
    stage = talking("fused")
    hear(stage, "s" * 5 + "." * 20, 0.05)
    stage.advance(0.5)
    assert stage.of(events.AgentResumed)
    assert not stage.sent("input_audio_buffer.append")


def test_without_an_answer_the_agent_is_interrupted_as_by_loudness(fused: Stage) -> None:
    hear(fused, "s" * 40, None)
    assert fused.of(events.BargedIn)


def test_the_model_alone_decides_when_it_is_asked_to() -> None:
    stage = talking("silero")
    hear(stage, "s" * 40, 0.2)
    assert not stage.of(events.AgentPaused)
    hear(stage, "." * 20, 0.1)
    hear(stage, "s" * 6, 0.4)
    assert stage.of(events.AgentPaused)


def test_a_turn_that_was_noise_is_taken_back_and_not_answered() -> None:
    stage = up("fused")
    hear(stage, "s" * 30, 0.05)
    assert stage.of(events.SpeechStarted)
    (start,) = stage.of(events.FalseStart)
    assert start.duration_ms <= 260
    assert [message["type"] for message in stage.sent()][-1] == "input_audio_buffer.clear"
    hear(stage, "." * 40, 0.05)
    stage.advance(1.0)
    assert not stage.sent("input_audio_buffer.commit")
    assert not stage.sent("response.create")


def test_speech_behind_the_noise_is_a_turn_with_what_was_before_it() -> None:
    stage = up("fused")
    hear(stage, "s" * 30, 0.05)
    stage.outputs.clear()
    hear(stage, "s" * 20, 0.9)
    hear(stage, "." * 30, 0.05)
    assert len(stage.of(events.SpeechStarted)) == 1
    assert stage.sent("input_audio_buffer.commit")
    assert len(stage.sent("response.create")) == 1


def test_a_soft_end_belongs_to_the_turn() -> None:
    """The model hears speech that is no louder than the noise."""
    loud, soft = up("silero"), up("silero")
    for stage, chance in ((loud, 0.05), (soft, 0.9)):
        hear(stage, "s" * 20, 0.9)
        hear(stage, "." * 10, chance)
        hear(stage, "." * 30, 0.05)
    assert soft.of(events.SpeechStopped)[0].duration_ms > loud.of(events.SpeechStopped)[0].duration_ms + 100


def test_noise_behind_the_words_does_not_keep_the_turn_open() -> None:
    stage = up("silero")
    hear(stage, "s" * 20, 0.9)
    hear(stage, "s" * 40, 0.1)
    assert stage.of(events.SpeechStopped)
    assert len(stage.sent("response.create")) == 1


def test_what_is_certain_is_asked_about_no_more_until_its_end(fused: Stage) -> None:
    """The model costs more than all the rest of a call; most of what is loud is speech."""
    hear(fused, "s" * 40, 0.9)
    asked = len(fused.of(events.JudgeSpeech))
    assert asked < 8
    hear(fused, "s" * 40, 0.9)
    assert len(fused.of(events.JudgeSpeech)) == asked
    hear(fused, "." * 30 + "s" * 10, 0.9)
    assert len(fused.of(events.JudgeSpeech)) > asked


def test_by_periodicity_hiss_does_not_interrupt_and_a_voice_does() -> None:
    stage = talking("energy")
    hiss(stage, 60)
    assert len(stage.of(events.AgentPaused)) == 1
    assert stage.of(events.AgentResumed) == [events.AgentResumed(0)]
    assert not stage.of(events.BargedIn)
    stage = talking("energy")
    for _ in range(40):
        stage.advance(FRAME_S)
        stage.feed(stage.call.receive_rtp, stage.caller.say(SPEECH), CALLER)
    assert stage.of(events.BargedIn)


def test_answers_after_the_end_are_of_no_use(fused: Stage) -> None:
    fused.hear("sss")
    fused.feed(fused.call.hang_up)
    fused.judge(0.9)
    assert fused.ended
