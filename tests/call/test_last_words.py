"""How a call comes to its end by itself: a silent caller, a limit of time, a limit of money; each said beforehand."""

from typing import Any

import pytest
from call.stage import FRAME_S, INTERRUPTS, Stage, describe

from sipagent.call import events
from sipagent.call.budget import BudgetSettings, Prices
from sipagent.call.ending import TAIL_MS
from sipagent.call.phase import Phase
from sipagent.call.silence import ASK, LOOK_S, SilenceSettings

SILENCE = SilenceSettings(prompt_s=10.0, prompts=2)
MORE_THAN_ENOUGH_S = 10.0 + LOOK_S
TURN = "." * 15 + "s" * 10 + "." * 30

CENT = Prices(0.0, 0.0, 10_000.0, 0.0, 0.0, 0.0)
"""A token of text that the model makes is a cent."""


def creates(stage: Stage) -> list[str]:
    """The instructions of each response.create so far."""
    return [each["response"].get("instructions", "") for each in stage.sent("response.create")]


def answered(**settings: Any) -> Stage:
    stage = Stage(**settings)
    stage.answer()
    return stage


def tick(stage: Stage, seconds: float) -> None:
    """Let time pass with nothing but beats and a silent caller."""
    for _ in range(round(seconds / FRAME_S)):
        stage.hear(".")
        stage.call.next_packet(now=stage.now)
        stage.drain()


def say(stage: Stage, number: int, ms: int = 200) -> None:
    """Let the model do as it was asked last, and let it be heard."""
    place = {"response_id": f"resp_{number}", "item_id": f"item_{number}"}
    stage.respond(ms=ms, **place)
    stage.finish(**place)
    stage.play(ms)


class TestSilence:
    def test_a_silent_caller_is_asked_twice_wished_goodbye_and_hung_up_on(self) -> None:
        stage = answered(silence=SILENCE)
        for number in (1, 2):
            stage.outputs.clear()
            tick(stage, MORE_THAN_ENOUGH_S)
            assert [ASK in words for words in creates(stage)] == [True]
            assert stage.sent("response.create")[0]["response"]["tool_choice"] == "none"
            say(stage, number)
        stage.outputs.clear()
        tick(stage, MORE_THAN_ENOUGH_S)
        assert ["goodbye" in words for words in creates(stage)] == [True]
        say(stage, 3)
        stage.play(TAIL_MS + 20)
        assert stage.ended.reason == "caller_silent"

    def test_without_the_setting_he_is_let_be(self) -> None:
        stage = answered()
        tick(stage, 60.0)
        assert creates(stage) == []

    def test_not_while_the_agents_words_still_play(self) -> None:
        stage = answered(greeting="Say hello.", silence=SILENCE)
        stage.respond(ms=30_000)
        stage.finish()
        tick(stage, 35.0)
        assert len(creates(stage)) == 1
        tick(stage, 5.0 + 2 * LOOK_S)
        assert len(creates(stage)) == 2

    def test_not_while_an_answer_or_a_tool_is_awaited(self) -> None:
        stage = answered(silence=SILENCE)
        stage.hear(TURN)
        stage.respond()
        stage.call_function("lookup")
        stage.done()
        tick(stage, 30.0)
        assert len(creates(stage)) == 1
        stage.feed(stage.call.tool_finished, "fc", "42")
        tick(stage, 9.0)
        assert len(creates(stage)) == 2  # the answer, which the model takes its time for

    def test_not_while_a_number_is_collected_which_has_a_limit_of_its_own(self) -> None:
        stage = answered(silence=SilenceSettings(prompt_s=5.0), key_tools=["collect_digits"])
        stage.hear(TURN)
        stage.respond()
        stage.call_function("collect_digits", arguments='{"timeout_s": 30}')
        stage.done()
        tick(stage, 25.0)
        assert len(creates(stage)) == 1

    def test_not_on_hold(self) -> None:
        stage = answered(silence=SILENCE)
        stage.feed(stage.call.receive_reinvite, describe(direction="sendonly", version=2))
        stage.advance(40.0)
        assert creates(stage) == []

    @pytest.mark.parametrize("by", ["word", "key"])
    def test_a_word_or_a_key_begins_it_anew(self, by: str) -> None:
        stage = answered(silence=SilenceSettings(prompt_s=10.0, prompts=1), barge_in=False)
        tick(stage, MORE_THAN_ENOUGH_S)
        say(stage, 1)
        tick(stage, 6.0)
        if by == "word":
            stage.hear("s" * 10 + "." * 30)
        else:
            stage.press("1")
            stage.advance(3.0)
        say(stage, 2)
        stage.outputs.clear()
        tick(stage, 9.0)
        assert creates(stage) == []
        tick(stage, 1.0 + 2 * LOOK_S)
        assert [ASK in words for words in creates(stage)] == [True]  # and no goodbye yet


class TestDuration:
    def test_it_says_that_the_end_is_near_in_the_next_pause(self) -> None:
        stage = answered(max_call_s=120.0, warn_s=60.0)
        tick(stage, 59.2)
        stage.hear("." * 15 + "s" * 50)  # the caller speaks across the moment
        assert stage.now - 1000.0 > 60.0
        assert creates(stage) == []
        stage.hear("." * 30)
        assert len(creates(stage)) == 1  # what he said is answered first
        say(stage, 1)
        assert "60 seconds" in creates(stage)[1]
        say(stage, 2)
        tick(stage, 61.0)
        assert "goodbye" in creates(stage)[2]

    def test_where_the_call_is_shorter_than_the_warning_there_is_none(self) -> None:
        stage = answered(max_call_s=30.0, warn_s=60.0)
        stage.advance(29.0)
        assert creates(stage) == []


class TestCost:
    def test_a_warning_then_a_goodbye_and_the_cost_in_the_last_word(self) -> None:
        stage = answered(budget=BudgetSettings(prices=CENT, max_usd=1.0), greeting="Say hello.")
        stage.respond(ms=100)
        stage.done(usage={"output_tokens": 85})
        stage.play(100)
        assert "soon" in creates(stage)[1]
        stage.respond(ms=100, response_id="resp_2", item_id="item_2")
        stage.done(response_id="resp_2", usage={"output_tokens": 20})
        assert stage.call.phase is Phase.ENDING
        assert "goodbye" in creates(stage)[2]
        stage.play(100)
        say(stage, 3)
        stage.play(TAIL_MS + 20)
        ended = stage.ended
        assert (ended.reason, ended.tokens, ended.cost_usd) == ("max_cost", 105, pytest.approx(1.05))

    def test_a_response_that_was_cut_off_is_billed_too(self) -> None:
        stage = answered(budget=BudgetSettings(prices=CENT))
        stage.hear(TURN)
        stage.respond(ms=2_000)
        stage.play(100)
        stage.hear(INTERRUPTS)
        assert stage.of(events.BargedIn)
        stage.done(status="cancelled", usage={"output_tokens": 7})
        stage.feed(stage.call.leg_ended, "bye")
        assert stage.ended.tokens == 7
