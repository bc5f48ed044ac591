"""A call that has no model any more: an apology, then somebody else, a message, or the end."""

from typing import Any

import numpy as np
from call.stage import NO_OTHER, QUIET, Stage, describe

from sipagent.audio.clip import Clip
from sipagent.call import events
from sipagent.call.farewell import SILENCE_S, TONE, FarewellSettings
from sipagent.call.transfer import TransferSettings
from sipagent.sip.uri import Uri

SORRY = Clip({8000: np.full(4000, 1000, np.int16)})
"""Half a second."""
SALES = Uri.parse("sip:200@192.0.2.9")


def lost(*, apology: Clip | None = SORRY, **farewell: Any) -> Stage:
    """A call that was up when its model was lost for good."""
    settings = FarewellSettings(apology, **farewell)
    stage = Stage(continuity=NO_OTHER, farewell=settings, transfer=TransferSettings({"sales": SALES}))
    stage.answer()
    stage.hear("." * 5)
    stage.feed(stage.call.model_lost, 1006, "gone")
    return stage


def loud_ms(audio: bytes) -> int:
    """How much of it is no silence."""
    return sum(20 for at in range(0, len(audio), 160) if audio[at : at + 160] != QUIET["PCMU"])


def test_an_apology_is_heard_to_its_end_and_the_call_is_over() -> None:
    stage = lost()
    assert stage.of(events.Apologized)
    assert loud_ms(stage.play(700)) == 500
    assert not stage.of(events.HangUp)
    stage.play(600)
    assert stage.ended.reason == "model_failed"


def test_the_last_words_come_before_it() -> None:
    stage = Stage(continuity=NO_OTHER, farewell=FarewellSettings(SORRY))
    stage.answer()
    stage.hear("." * 15 + "s" * 10 + "." * 30)
    stage.respond()
    audio = stage.speak(400)
    stage.feed(stage.call.model_lost, 1006, "gone")
    assert stage.play(400) == audio
    assert loud_ms(stage.play(700)) == 500
    stage.play(700)
    assert stage.ended.reason == "model_failed"


def test_somebody_else_takes_over() -> None:
    stage = lost(then="sales")
    stage.play(1200)
    assert [refer.target for refer in stage.of(events.Refer)] == [SALES]
    stage.feed(stage.call.refer_finished, 200)
    assert stage.ended.reason == "transferred"


def test_when_nobody_else_is_there_the_call_is_over() -> None:
    stage = lost(then="sales")
    stage.play(1200)
    stage.feed(stage.call.refer_finished, 486)
    stage.play(400)
    assert stage.ended.reason == "model_failed"


def test_a_message_is_taken_until_the_caller_is_silent() -> None:
    stage = lost(then="message")
    assert stage.call.recording.record is None
    stage.play(1000)
    assert stage.call.recording.record is not None
    for _ in range(5):
        stage.hear("s" * 20 + "." * 80)
        stage.play(20)
    assert not stage.of(events.MessageRecorded)
    stage.hear("." * round(SILENCE_S * 50))
    stage.play(400)
    (taken,) = stage.of(events.MessageRecorded)
    assert 10.0 < taken.duration_s < 30.0
    assert len(stage.of(events.RecordAudio)) >= 10
    assert stage.ended.reason == "model_failed"


def test_a_message_has_a_limit() -> None:
    stage = lost(then="message", message_s=5.0)
    for _ in range(8):
        stage.hear("s" * 50)
    stage.play(400)
    assert [round(taken.duration_s) for taken in stage.of(events.MessageRecorded)] == [5]


def test_a_caller_who_hangs_up_is_not_kept() -> None:
    stage = lost(then="message")
    stage.play(1000)
    stage.feed(stage.call.leg_ended, "bye")
    assert stage.ended.reason == "bye"
    assert stage.call.get_timer() is None


def test_before_the_answer_the_caller_is_sent_elsewhere() -> None:
    stage = Stage(farewell=FarewellSettings(refer_to=SALES))
    stage.feed(stage.call.receive_invite, describe())
    stage.feed(stage.call.model_lost, 0, "refused")
    assert [(reject.status, reject.contact) for reject in stage.of(events.Reject)] == [(302, SALES)]
    assert stage.ended.reason == "referred"


def test_the_tone_is_heard() -> None:
    stage = lost(apology=TONE)
    assert loud_ms(stage.play(1200)) >= 860
