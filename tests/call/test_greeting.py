"""The agent's first words, in all their ways."""

from typing import Any

import pytest
from call.stage import FRAME_S, Stage, describe

from sipagent.audio.clip import Clip
from sipagent.audio.g711 import SAMPLE_RATE
from sipagent.audio.tones import sine
from sipagent.call import events
from sipagent.call.silence import ASK, LOOK_S, SilenceSettings

ENOUGH = round((10.0 + 2 * LOOK_S) / FRAME_S)
TURN = "." * 15 + "s" * 10 + "." * 30
WORDS = "Welcome to the Harbour Clock Company."
CLIP = Clip({SAMPLE_RATE: sine(440, 2000, rate=SAMPLE_RATE)})


def answered(**talks: Any) -> Stage:
    stage = Stage(greeting=talks.pop("greeting", WORDS), talks=talks, silence=SilenceSettings(10.0))
    stage.answer()
    return stage


def creates(stage: Stage) -> list[str]:
    return [each["response"].get("instructions", "") for each in stage.sent("response.create")]


class TestAfterTheCaller:
    def test_it_comes_after_his_first_words(self) -> None:
        stage = answered(greeting_after="caller")
        assert creates(stage) == []
        stage.hear(TURN)
        assert len(stage.sent("input_audio_buffer.commit")) == 1
        assert creates(stage) == [WORDS]
        stage.respond("Hello.", ms=100)
        stage.finish()
        stage.play(100)
        stage.hear(TURN)
        assert creates(stage) == [WORDS, ""]

    def test_until_it_was_heard_it_is_still_to_be_said(self) -> None:
        stage = answered(greeting_after="caller")
        stage.hear(TURN)
        stage.hear("s" * 40 + "." * 30)  # before the first word of it
        stage.respond(response_id="resp_1")
        stage.done(response_id="resp_1", status="cancelled")
        assert creates(stage)[-1] == WORDS

    def test_a_caller_who_says_nothing_is_greeted(self) -> None:
        stage = answered(greeting_after="caller")
        stage.hear("." * ENOUGH)
        assert creates(stage) == [WORDS]
        stage.respond(ms=100)
        stage.finish()
        stage.play(100)
        stage.hear("." * ENOUGH)
        assert ASK in creates(stage)[1]


class TestRecorded:
    def test_it_is_played_at_the_answer_and_the_model_told_its_words(self) -> None:
        stage = answered(greeting_clip=CLIP)
        assert creates(stage) == []
        heard = stage.play(2000)
        assert len(heard) == 16_000
        assert b"\xff" * 160 not in heard
        assert [(said.text, said.heard_ms) for said in stage.of(events.AgentSaid)] == [(WORDS, 2000)]
        stage.hear(".")
        (item,) = [sent["item"] for sent in stage.sent("conversation.item.create")]
        assert item == {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": WORDS}]}

    def test_a_caller_who_interrupts_it_is_answered_and_the_model_knows_how_much_was_heard(self) -> None:
        stage = answered(greeting_clip=CLIP)
        stage.hear("." * 15)
        stage.play(1000)
        stage.hear("s" * 40)
        assert stage.of(events.BargedIn)
        stage.hear("." * 30)
        assert not stage.sent("conversation.item.truncate")  # of an item that the model does not know
        kinds = [sent["type"] for sent in stage.sent() if sent["type"] != "input_audio_buffer.append"]
        assert kinds[-3:] == ["conversation.item.create", "input_audio_buffer.commit", "response.create"]
        words = stage.sent("conversation.item.create")[-1]["item"]["content"][0]["text"]
        assert words.endswith("—")
        assert WORDS.startswith(words.removesuffix(" —"))
        assert 0 < len(words) < len(WORDS)
        assert creates(stage) == [""]

    def test_after_the_callers_first_words_it_takes_the_place_of_an_answer(self) -> None:
        stage = answered(greeting_clip=CLIP, greeting_after="caller")
        assert stage.play(100) == b"\xff" * 800
        stage.hear(TURN)
        assert creates(stage) == []
        assert stage.play(100) != b"\xff" * 800
        stage.play(2000)
        stage.hear(TURN)
        assert creates(stage) == [""]

    @pytest.mark.parametrize("codecs", [("PCMU",), ("G722",)])
    def test_it_is_as_long_whatever_the_codec(self, codecs: tuple[str, ...]) -> None:
        pcm = sine(440, 1000, rate=SAMPLE_RATE)
        stage = Stage(codecs=codecs, greeting=WORDS, talks={"greeting_clip": Clip({SAMPLE_RATE: pcm})})
        stage.answer(describe((0,) if codecs == ("PCMU",) else (9,)))
        for _ in range(round(1.1 / FRAME_S)):
            stage.tick()
        assert [said.heard_ms for said in stage.of(events.AgentSaid)] == [1000]
