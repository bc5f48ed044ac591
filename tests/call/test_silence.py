"""A caller who says nothing any more."""

from sipagent.call.silence import LOOK_S, Silence, SilenceSettings, Step


def look_for(
    silence: Silence, seconds: float, *, begin: float, heard_at: float = 0.0, is_busy: bool = False
) -> list[tuple[float, Step]]:
    """What the looks of so many seconds come to, but for nothing."""
    found = []
    for number in range(1, int(seconds / LOOK_S) + 1):
        now = begin + number * LOOK_S
        step = silence.look(heard_at=heard_at, is_busy=is_busy, now=now)
        if step is not Step.NOTHING:
            found.append((now, step))
    return found


def test_he_is_asked_as_often_as_is_said_and_then_given_up() -> None:
    silence = Silence(SilenceSettings(prompt_s=10.0, prompts=2), now=100.0)
    assert look_for(silence, 30.0, begin=100.0) == [(110.0, Step.ASK), (120.0, Step.ASK), (130.0, Step.GIVE_UP)]


def test_without_questions_he_is_given_up_at_once() -> None:
    silence = Silence(SilenceSettings(prompt_s=5.0, prompts=0), now=0.0)
    assert look_for(silence, 5.0, begin=0.0) == [(5.0, Step.GIVE_UP)]


def test_it_begins_when_nobody_is_busy_any_more() -> None:
    silence = Silence(SilenceSettings(prompt_s=10.0), now=0.0)
    assert look_for(silence, 60.0, begin=0.0, is_busy=True) == []
    assert look_for(silence, 10.0, begin=60.0) == [(70.0, Step.ASK)]


def test_a_word_or_a_key_in_between_begins_it_anew_and_forgets_the_questions() -> None:
    silence = Silence(SilenceSettings(prompt_s=10.0, prompts=1), now=0.0)
    assert look_for(silence, 10.0, begin=0.0) == [(10.0, Step.ASK)]
    heard_at = 15.2  # between two looks
    assert look_for(silence, 20.0, begin=15.0, heard_at=heard_at) == [(26.0, Step.ASK)]
    assert look_for(silence, 1.0, begin=35.0, heard_at=heard_at) == [(36.0, Step.GIVE_UP)]
