"""Handing the call on: announced, asked for, and what becomes of the caller when it fails."""

import json
from typing import Any

import pytest
from call.stage import FRAME_S, INTERRUPTS, NO_OTHER, Stage, describe

from sipagent.call import events
from sipagent.call.conversation import GOODBYE
from sipagent.call.ending import TAIL_MS
from sipagent.call.phase import Phase
from sipagent.call.transfer import ANNOUNCE, ANNOUNCING_S, LIMIT_S, TransferSettings, explain
from sipagent.sip.targets import Targets
from sipagent.sip.uri import Uri

SALES = Uri.parse("sip:200@pbx.example.com")
SETTINGS = TransferSettings({"sales": SALES, "front desk": Uri.parse("tel:+4930123")})


@pytest.fixture
def stage() -> Stage:
    """A call that is up, whose agent may hand it on."""
    stage = Stage(transfer=SETTINGS)
    stage.answer()
    stage.hear("s" * 20 + "." * 60)
    return stage


def wish(stage: Stage, destination: str = "sales", *, says_ms: int = 400, call_id: str = "fc", **more: Any) -> None:
    """Let the model say whom it puts the caller through to, or not, and call the tool."""
    stage.respond("I'll put you through." if says_ms else "", ms=says_ms, **more)
    arguments = json.dumps({"destination": destination, "reason": "wants to buy"})
    stage.call_function("transfer", call_id=call_id, arguments=arguments, **more)
    stage.done(**more)


def refer(stage: Stage, **more: Any) -> None:
    """Up to the moment at which the peer is asked."""
    wish(stage, **more)
    for _ in range(200):
        if stage.of(events.Refer):
            return
        stage.tick()
    raise AssertionError("it never referred")


def outputs_of_tools(stage: Stage) -> list[str]:
    items = [sent["item"] for sent in stage.sent("conversation.item.create")]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


class TestAnnouncement:
    def test_the_sentence_is_heard_to_its_end_before_the_peer_is_asked(self, stage: Stage) -> None:
        wish(stage, says_ms=400)
        assert stage.play(400).count(0x0F) > 0
        assert not stage.of(events.Refer)
        for _ in range(TAIL_MS // 20 - 1):
            stage.tick()
        assert not stage.of(events.Refer)
        stage.tick()
        assert stage.of(events.Refer) == [events.Refer(SALES)]
        assert stage.of(events.TransferStarted) == [events.TransferStarted("sales", "sip:200@pbx.example.com")]
        assert not stage.of(events.RunTool)

    def test_a_model_that_says_nothing_is_asked_for_a_sentence(self, stage: Stage) -> None:
        wish(stage, says_ms=0)
        create = stage.sent("response.create")[-1]["response"]
        assert create["instructions"] == ANNOUNCE.format(destination="sales")
        assert create["tool_choice"] == "none"
        stage.play(1000)
        assert not stage.of(events.Refer)
        stage.respond("Sales, one moment.", ms=200, response_id="resp2", item_id="item2")
        stage.finish(response_id="resp2", item_id="item2")
        stage.play(200 + TAIL_MS)
        stage.tick()
        assert len(stage.of(events.Refer)) == 1

    def test_a_sentence_that_never_comes_is_not_waited_for(self, stage: Stage) -> None:
        wish(stage, says_ms=0)
        stage.advance(ANNOUNCING_S + 0.01)
        assert len(stage.of(events.Refer)) == 1

    def test_the_caller_does_not_interrupt_it(self, stage: Stage) -> None:
        wish(stage, says_ms=1000)
        before = len(stage.sent("input_audio_buffer.append"))
        stage.hear("s" * 30)
        assert len(stage.sent("input_audio_buffer.append")) == before
        stage.press("1")
        assert not stage.of(events.BargedIn)
        assert not stage.sent("conversation.item.truncate")
        stage.play(1200)
        assert len(stage.of(events.Refer)) == 1

    def test_a_goodbye_beside_it_does_not_end_the_call(self, stage: Stage) -> None:
        stage.respond("I'll put you through.", ms=200)
        stage.call_function("transfer", arguments='{"destination": "sales"}')
        stage.call_function("hang_up", call_id="fc2")
        stage.done()
        stage.play(1000)
        assert len(stage.of(events.Refer)) == 1
        assert not stage.of(events.HangUp)
        assert all(sent["response"].get("instructions") != GOODBYE for sent in stage.sent("response.create"))


class TestOutcome:
    def test_a_transfer_that_succeeds_ends_the_call_at_once(self, stage: Stage) -> None:
        """Trap: Twilio keeps the caller in silence until our BYE."""
        refer(stage)
        stage.feed(stage.call.refer_progressed, 202)
        stage.feed(stage.call.refer_progressed, 180)
        fresh = stage.feed(stage.call.refer_finished, 200)
        assert [type(output) for output in fresh[:2]] == [events.Transferred, events.HangUp]
        assert fresh[0] == events.Transferred("sales")
        assert [fact.status for fact in stage.of(events.TransferProgressed)] == [202, 180]
        assert stage.ended.reason == "transferred"
        assert stage.call.get_timer() is None

    @pytest.mark.parametrize(
        ("status", "why"),
        [
            (486, "the line is busy"),
            (603, "declined"),
            (404, "no such number"),
            (405, "status 405"),
            (503, "status 503"),
            (None, "does not say"),
        ],
    )
    def test_when_it_fails_the_model_is_told_why_and_talks_on(self, stage: Stage, status: int | None, why: str) -> None:
        refer(stage)
        asked = len(stage.sent("response.create"))
        stage.feed(stage.call.refer_progressed, 202)
        stage.feed(stage.call.refer_finished, status)
        (failed,) = stage.of(events.TransferFailed)
        assert (failed.destination, failed.status) == ("sales", status)
        (output,) = outputs_of_tools(stage)
        assert output == failed.reason == explain("sales", status)
        assert why in output
        assert len(stage.sent("response.create")) == asked + 1
        assert stage.call.phase is Phase.UP
        stage.respond("Sorry.", ms=400, response_id="resp2", item_id="item2")
        stage.play(100)
        stage.hear(INTERRUPTS)
        assert stage.of(events.BargedIn)

    def test_nobody_picks_up(self, stage: Stage) -> None:
        refer(stage)
        stage.feed(stage.call.refer_progressed, 180)
        stage.advance(LIMIT_S + 0.01)
        (failed,) = stage.of(events.TransferFailed)
        assert failed.status == 408
        assert stage.call.phase is Phase.UP

    def test_somebody_picks_up_when_we_have_given_up(self, stage: Stage) -> None:
        refer(stage)
        stage.advance(LIMIT_S + 0.01)
        stage.feed(stage.call.refer_finished, 200)
        assert stage.ended.reason == "transferred"

    def test_a_late_refusal_is_old_news(self, stage: Stage) -> None:
        refer(stage)
        stage.advance(LIMIT_S + 0.01)
        assert stage.feed(stage.call.refer_finished, 486) == []

    def test_the_peer_hangs_up_when_it_has_agreed(self, stage: Stage) -> None:
        refer(stage)
        stage.feed(stage.call.refer_progressed, 202)
        stage.feed(stage.call.leg_ended, "bye")
        assert stage.of(events.Transferred) == [events.Transferred("sales", is_confirmed=False)]
        assert stage.ended.reason == "bye"

    def test_the_caller_hangs_up_before_the_peer_has_agreed(self, stage: Stage) -> None:
        refer(stage)
        stage.feed(stage.call.leg_ended, "bye")
        assert not stage.of(events.Transferred)
        assert stage.ended.reason == "bye"

    def test_it_may_be_tried_again(self, stage: Stage) -> None:
        refer(stage)
        stage.feed(stage.call.refer_finished, 486)
        refer_again = {"response_id": "resp2", "item_id": "item2"}
        stage.respond("Then the front desk.", ms=100, **refer_again)
        stage.call_function("transfer", call_id="fc2", arguments='{"destination": "front desk"}', response_id="resp2")
        stage.done(response_id="resp2")
        stage.play(1000)
        assert [str(output.target) for output in stage.of(events.Refer)] == ["sip:200@pbx.example.com", "tel:+4930123"]


class TestMeanwhile:
    def test_a_second_wish_is_refused_and_nobody_speaks(self, stage: Stage) -> None:
        stage.respond("I'll put you through.", ms=200)
        asked = len(stage.sent("response.create"))
        stage.call_function("transfer", arguments='{"destination": "sales"}')
        stage.call_function("transfer", call_id="fc2", arguments='{"destination": "front desk"}')
        stage.done()
        stage.play(1000)
        assert outputs_of_tools(stage) == ["The call is being handed on already."]
        assert len(stage.sent("response.create")) == asked
        assert len(stage.of(events.Refer)) == 1

    def test_a_caller_on_hold_is_no_lost_caller(self, stage: Stage) -> None:
        refer(stage)
        stage.advance(30.0)
        stage.feed(stage.call.receive_reinvite, describe(direction="inactive", version=2))
        stage.advance(14.0)
        stage.feed(stage.call.refer_finished, 486)
        assert stage.call.phase is Phase.UP

    def test_the_model_is_lost_and_the_caller_gets_through_all_the_same(self, stage: Stage) -> None:
        wish(stage)
        stage.feed(stage.call.model_lost, 1006, "gone")
        stage.play(1000)
        assert len(stage.of(events.Refer)) == 1
        stage.feed(stage.call.refer_finished, 200)
        assert stage.ended.reason == "transferred"

    def test_the_model_is_lost_and_the_transfer_fails(self) -> None:
        stage = Stage(transfer=SETTINGS, continuity=NO_OTHER)
        stage.answer()
        stage.hear("s" * 20 + "." * 60)
        wish(stage)
        stage.feed(stage.call.model_lost, 1006, "gone")
        stage.play(1000)
        stage.feed(stage.call.refer_finished, 486)
        stage.play(1000)
        assert stage.ended.reason == "model_failed"

    def test_we_are_to_stop(self, stage: Stage) -> None:
        refer(stage)
        stage.feed(stage.call.drain)
        assert stage.call.phase is Phase.ENDING
        stage.feed(stage.call.refer_finished, 486)
        stage.advance(60.0)
        assert stage.ended.reason == "goodbye_timeout"


class TestWhereTo:
    @pytest.mark.parametrize("destination", ["Sales", "200", "sip:200@pbx.example.com", "+4930123", ""])
    def test_what_is_no_destination_is_refused_in_a_sentence(self, stage: Stage, destination: str) -> None:
        """Trap: a caller who talks the model into a premium number."""
        wish(stage, destination)
        stage.play(1000)
        assert not stage.of(events.Refer)
        (output,) = outputs_of_tools(stage)
        assert "destination" in output
        assert stage.call.phase is Phase.UP

    def test_without_destinations_there_is_no_transfer(self) -> None:
        stage = Stage()
        stage.answer()
        stage.hear("s" * 20 + "." * 60)
        wish(stage)
        assert [run.name for run in stage.of(events.RunTool)] == ["transfer"]

    ANY = TransferSettings(
        {"sales": SALES},
        numbers_at=Uri.parse("sip:pbx.example.com;transport=tcp"),
        targets=Targets(["pbx.example.com"], allow=("+4930*", "internal")),
    )

    @pytest.mark.parametrize(
        ("destination", "target"),
        [
            ("sales", "sip:200@pbx.example.com"),
            ("+49 30 123-456", "sip:+4930123456@pbx.example.com;transport=tcp"),
            ("300", "sip:300@pbx.example.com;transport=tcp"),
            ("+49 900 1234567", None),
            ("+1 900 555 1234", None),
            ("0900 123456", None),
            ("112", None),
            ("+4931123456", None),
            ("300;phone-context=+1900", None),
            ("300@evil.example", None),
            ("sip:300@pbx.example.com", None),
            ("alice", None),
            ("*21#", None),
            ("3" * 30, None),
            ("３００", None),
        ],
    )
    def test_numbers_where_they_are_allowed(self, destination: str, target: str | None) -> None:
        found = self.ANY.find(destination)
        assert (None if found is None else str(found)) == target

    def test_without_a_list_no_number_is_allowed(self) -> None:
        assert TransferSettings({}, numbers_at=SALES).find("300") is None

    def test_a_forbidden_number_is_told_in_a_sentence(self) -> None:
        stage = Stage(transfer=self.ANY)
        stage.answer()
        stage.hear("s" * 20 + "." * 60)
        wish(stage, "+49 900 1234567")
        (output,) = outputs_of_tools(stage)
        assert "not allowed" in output


class TestKeys:
    def test_a_key_in_an_info_is_a_key(self, stage: Stage) -> None:
        stage.feed(stage.call.receive_info, "5")
        assert stage.of(events.DigitPressed) == [events.DigitPressed("5")]

    def test_a_key_that_comes_both_ways_counts_once(self, stage: Stage) -> None:
        """Trap: PBXs that send keys in RTP and in INFO."""
        stage.press("5")
        stage.feed(stage.call.receive_info, "5")
        assert stage.of(events.DigitPressed) == [events.DigitPressed("5")]
        stage.advance(FRAME_S)
        stage.press("5")
        stage.feed(stage.call.receive_info, "5")
        assert len(stage.of(events.DigitPressed)) == 2

    def test_before_the_answer_it_is_meant_for_nobody(self) -> None:
        stage = Stage()
        stage.feed(stage.call.receive_invite, describe())
        stage.feed(stage.call.receive_info, "5")
        assert not stage.of(events.DigitPressed)
