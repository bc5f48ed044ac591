"""Another dialog in the place of the caller's: the conversation goes on, and a bad one changes nothing."""

from typing import Any

import pytest
from call.stage import CALLER, Stage, describe

from sipagent.call import events
from sipagent.call.phase import Phase

OTHER = "192.0.2.9"
NOTICE = "Somebody else is there."
PLACE: dict[str, Any] = {"address": "192.0.2.1", "signalling_host": OTHER}


@pytest.fixture
def stage() -> Stage:
    """A call that is up, in μ-law."""
    stage = Stage()
    stage.answer()
    stage.hear("." * 5)
    return stage


def take(stage: Stage, offer: bytes) -> list[events.Output]:
    return stage.feed(lambda *, now: stage.call.replacement.receive(offer, notice=NOTICE, now=now, **PLACE))


def finish(stage: Stage, answer: bytes) -> list[events.Output]:
    def receive(*, now: float) -> None:
        stage.call.replacement.receive_answer(answer, signalling_host=OTHER, notice=NOTICE, now=now)

    return stage.feed(receive)


def notices(stage: Stage) -> list[str]:
    items = [sent["item"] for sent in stage.sent("conversation.item.create")]
    return [item["content"][0]["text"] for item in items if item["type"] == "message"]


class TestTaken:
    def test_the_media_go_to_the_other_and_the_conversation_goes_on(self, stage: Stage) -> None:
        before = stage.tick()
        assert before is not None
        fresh = take(stage, describe(host=OTHER))
        accept, replaced, told = fresh
        assert isinstance(accept, events.AcceptReplacement)
        assert b"m=audio 10000 RTP/AVP 0" in accept.body
        assert replaced == events.Replaced()
        assert isinstance(told, events.SendModel)
        assert notices(stage) == [NOTICE]
        assert not stage.sent("response.create")
        assert stage.call.remote == (OTHER, CALLER[1])
        after = stage.tick()
        assert after is not None
        assert (after.ssrc, after.sequence_number) == (before.ssrc, before.sequence_number + 1)
        assert stage.call.phase is Phase.UP

    def test_a_new_dialog_has_a_description_of_its_own(self, stage: Stage) -> None:
        first = stage.of(events.Accept)[0].body
        (accept, *_) = take(stage, describe(host=OTHER))
        assert isinstance(accept, events.AcceptReplacement)
        assert first.split(b"\r\n")[1] != accept.body.split(b"\r\n")[1]

    def test_the_other_law_is_translated(self, stage: Stage) -> None:
        take(stage, describe((8,), host=OTHER))
        packet = stage.tick()
        assert packet is not None
        assert packet.payload_type == 8
        assert packet.payload == b"\xd5" * 160

    def test_without_an_offer_ours_is_answered_in_the_ack(self, stage: Stage) -> None:
        (accept, *_) = take(stage, b"")
        assert isinstance(accept, events.AcceptReplacement)
        assert b"m=audio 10000 RTP/AVP 0" in accept.body
        assert stage.call.remote == CALLER
        stage.feed(stage.call.receive_ack, describe(host=OTHER))
        assert stage.call.remote == (OTHER, CALLER[1])

    @pytest.mark.parametrize(("offer", "status"), [(b"nonsense", 400), (describe((18,), host=OTHER), 488)])
    def test_a_bad_one_is_refused_and_nothing_changes(self, stage: Stage, offer: bytes, status: int) -> None:
        (reject,) = take(stage, offer)
        assert isinstance(reject, events.RejectReplacement)
        assert reject.status == status
        assert stage.call.remote == CALLER
        assert notices(stage) == []
        stage.feed(stage.call.receive_reinvite, describe(version=2, direction="inactive"))
        assert stage.of(events.HeldByPeer) == [events.HeldByPeer(True)]

    def test_a_caller_on_hold_is_replaced_by_one_who_listens(self, stage: Stage) -> None:
        stage.feed(stage.call.receive_reinvite, describe(version=2, direction="inactive"))
        take(stage, describe(host=OTHER))
        assert stage.of(events.HeldByPeer) == [events.HeldByPeer(True), events.HeldByPeer(False)]
        assert stage.tick() is not None

    def test_a_call_that_is_not_up_is_not_replaced(self) -> None:
        stage = Stage()
        stage.feed(stage.call.receive_invite, describe())
        assert take(stage, describe(host=OTHER)) == [events.RejectReplacement(481, "the call is not up")]
        stage.feed(stage.call.hang_up)
        assert take(stage, describe(host=OTHER)) == [events.RejectReplacement(481, "the call is not up")]


class TestOffered:
    def offer(self, stage: Stage) -> list[events.Output]:
        return stage.feed(lambda *, now: stage.call.replacement.offer(address="192.0.2.1", now=now))

    def test_the_old_media_stay_until_the_answer(self, stage: Stage) -> None:
        (dial,) = self.offer(stage)
        assert isinstance(dial, events.DialReplacement)
        assert stage.call.remote == CALLER
        stage.feed(stage.call.receive_reinvite, describe(version=2))
        assert stage.call.remote == CALLER
        keep, replaced, _ = finish(stage, describe((0,), host=OTHER))
        assert (keep, replaced) == (events.KeepReplacement(), events.Replaced())
        assert stage.call.remote == (OTHER, CALLER[1])
        assert notices(stage) == [NOTICE]

    def test_a_bad_answer_is_dropped_and_nothing_changes(self, stage: Stage) -> None:
        self.offer(stage)
        complained, drop = finish(stage, b"nonsense")
        assert isinstance(complained, events.LegComplained)
        assert drop == events.DropReplacement()
        assert stage.call.remote == CALLER
        assert stage.call.phase is Phase.UP

    def test_a_call_that_is_not_up_calls_nobody(self, stage: Stage) -> None:
        stage.feed(stage.call.hang_up)
        assert self.offer(stage) == [events.DropReplacement()]
        assert finish(stage, describe(host=OTHER)) == [events.DropReplacement()]
