"""Turns whose end the server finds: the rules, and whole calls."""

from math import inf

import pytest
from call.stage import FRAME_S, Stage

from sipagent.call import events
from sipagent.call.server_turns import GOES_ON_S, PATIENCE_S, Commit, ServerTurns


def test_a_turn_that_we_heard_is_answered_once() -> None:
    turns = ServerTurns(1.5)
    turns.began()
    turns.stopped(now=10.0)
    assert turns.due_at == 11.5
    assert turns.committed(silent_s=0.5, is_agent_heard=True) is Commit.ANSWER
    assert turns.due_at == inf
    assert turns.committed(silent_s=1.0, is_agent_heard=True) is Commit.ASIDE


def test_who_speaks_on_is_not_answered_yet() -> None:
    turns = ServerTurns(1.5)
    turns.began()
    assert turns.committed(silent_s=GOES_ON_S / 2, is_agent_heard=False) is Commit.WAIT
    assert turns.committed(silent_s=GOES_ON_S, is_agent_heard=False) is Commit.ANSWER


def test_what_only_the_server_heard_is_answered_in_silence() -> None:
    turns = ServerTurns(1.5)
    assert turns.committed(silent_s=9.0, is_agent_heard=True) is Commit.ASIDE
    assert turns.committed(silent_s=0.0, is_agent_heard=False) is Commit.ANSWER


def test_a_server_that_finds_no_end_is_told_once() -> None:
    turns = ServerTurns(1.5)
    turns.stopped(now=1.0)
    assert turns.due_at == inf  # of nothing there is no end
    turns.began()
    turns.stopped(now=10.0)
    assert not turns.handle_timer(now=11.4)
    assert turns.handle_timer(now=11.5)
    assert not turns.handle_timer(now=12.0)
    turns.stopped(now=20.0)
    turns.forget()
    assert turns.due_at == inf


# In a call


@pytest.fixture
def hybrid() -> Stage:
    stage = Stage(turn_detection="hybrid", transcribes=True)
    stage.answer()
    stage.hear("." * 20)
    stage.outputs.clear()
    return stage


def commit(stage: Stage, item_id: str = "turn") -> None:
    stage.say("input_audio_buffer.committed", item_id=item_id)


def test_it_asks_the_server_for_ends_and_for_nothing_else(hybrid: Stage) -> None:
    detection = hybrid.session["audio"]["input"]["turn_detection"]
    assert (detection["type"], detection["create_response"], detection["interrupt_response"]) == (
        "server_vad",
        False,
        False,
    )


def test_the_server_hears_all_and_its_end_is_answered_by_us(hybrid: Stage) -> None:
    hybrid.hear("s" * 10 + "." * 15)
    assert len(hybrid.sent("input_audio_buffer.append")) == 25
    assert not hybrid.sent("response.create")
    commit(hybrid)
    assert len(hybrid.sent("response.create")) == 1
    assert len(hybrid.of(events.SpeechStopped)) == 1
    hybrid.hear("." * 100)
    assert not hybrid.sent("input_audio_buffer.commit")
    assert len(hybrid.sent("response.create")) == 1


def test_an_end_in_the_midst_of_speech_waits_for_the_next(hybrid: Stage) -> None:
    hybrid.hear("s" * 10)
    commit(hybrid, "one")
    assert not hybrid.sent("response.create")
    hybrid.hear("s" * 10 + "." * 15)
    commit(hybrid, "two")
    assert len(hybrid.sent("response.create")) == 1


def test_an_end_that_the_server_does_not_find_is_told_to_it(hybrid: Stage) -> None:
    hybrid.hear("s" * 10 + "." * 30)
    assert not hybrid.sent("input_audio_buffer.commit")
    hybrid.advance(PATIENCE_S + 0.7 + FRAME_S)  # what server_vad may take, its margin included
    assert len(hybrid.sent("input_audio_buffer.commit")) == 1
    commit(hybrid)
    assert len(hybrid.sent("response.create")) == 1


@pytest.fixture
def talking(hybrid: Stage) -> Stage:
    hybrid.hear("s" * 10 + "." * 15)
    commit(hybrid, "first")
    hybrid.respond("one two three four five six seven eight", ms=4000)
    hybrid.play(1000)
    hybrid.outputs.clear()
    return hybrid


def test_a_barge_in_stays_ours(talking: Stage) -> None:
    talking.hear("ss")
    assert talking.of(events.AgentPaused)
    talking.hear("s" * 40)
    assert talking.of(events.BargedIn)
    assert talking.sent("conversation.item.truncate")
    talking.say("response.done", response={"id": "resp", "status": "cancelled"})
    talking.hear("." * 15)
    commit(talking, "second")
    assert len(talking.sent("response.create")) == 1


def test_what_was_said_aside_is_answered_only_by_its_words(talking: Stage) -> None:
    for item_id, words in (("aside", "Mm-hm."), ("stop", "Stop, please!")):
        talking.hear("s" * 10 + "." * 20)
        assert not talking.of(events.BargedIn)
        commit(talking, item_id)
        assert not talking.sent("response.create")
        talking.say("conversation.item.input_audio_transcription.completed", item_id=item_id, transcript=words)
    assert [message["item_id"] for message in talking.sent("conversation.item.delete")] == ["aside"]
    assert not talking.sent("input_audio_buffer.commit")
    assert talking.of(events.BargedIn)
    talking.say("response.done", response={"id": "resp", "status": "cancelled"})
    assert len(talking.sent("response.create")) == 1


def test_on_hold_what_was_begun_is_forgotten(hybrid: Stage) -> None:
    hybrid.hear("s" * 10)
    hybrid.feed(hybrid.call._conversation.hold)  # type: ignore[union-attr]
    hybrid.advance(5.0)
    assert not hybrid.sent("input_audio_buffer.commit")
