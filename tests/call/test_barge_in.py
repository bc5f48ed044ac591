import pytest

from sipagent.call.barge_in import MAX_ASIDES, BargeIn, BargeInSettings, Meaning

NOISE, HEARD, ASIDE, ANSWER, INTERRUPTION = Meaning


@pytest.mark.parametrize(
    ("sound_ms", "greets", "has_begun", "rest_ms", "hears_words", "meaning"),
    [
        (80, False, True, None, True, NOISE),  # a click
        (80, False, False, None, True, NOISE),
        (300, True, False, None, True, HEARD),
        (300, True, True, None, True, ASIDE),  # the greeting is being said
        (300, False, False, None, True, INTERRUPTION),  # nothing was heard of the answer
        (300, False, True, 800, True, ANSWER),
        (300, False, True, 801, True, ASIDE),
        (300, False, True, None, True, ASIDE),  # who knows how much is still to come
        (300, False, True, None, False, NOISE),
    ],
)
def test_what_a_sound_was(
    sound_ms: int, greets: bool, has_begun: bool, rest_ms: int | None, hears_words: bool, meaning: Meaning
) -> None:
    barge_in = BargeIn(BargeInSettings(), hears_words=hears_words)
    assert barge_in.judge(sound_ms, greets=greets, has_begun=has_begun, rest_ms=rest_ms) is meaning


def test_what_the_server_answers_in_any_case_interrupts() -> None:
    barge_in = BargeIn(BargeInSettings(), hears_words=True, answers_all=True)
    assert barge_in.judge(300, greets=False, has_begun=True, rest_ms=None) is INTERRUPTION
    assert barge_in.judge(80, greets=False, has_begun=True, rest_ms=None) is NOISE


def test_who_may_not_interrupt() -> None:
    assert not BargeIn(BargeInSettings(enabled=False), hears_words=True).may_interrupt(now=1000.0)
    guarded = BargeIn(BargeInSettings(guard_s=2.0), hears_words=True)
    guarded.begin(now=10.0)
    assert not guarded.may_interrupt(now=11.9)
    assert guarded.may_interrupt(now=12.0)


def test_items_are_known_by_the_order_of_their_commits() -> None:
    barge_in = BargeIn(BargeInSettings(), hears_words=True)
    for is_aside in (False, True, False):
        barge_in.note_commit(is_aside=is_aside)
    for item_id in ("one", "two", "three", "of the server's own"):
        barge_in.note_item(item_id)
    assert [barge_in.take_aside(item_id) for item_id in ("one", "two", "two", "three")] == [False, True, False, False]


def test_asides_whose_words_never_come_are_bounded() -> None:
    barge_in = BargeIn(BargeInSettings(), hears_words=True)
    for number in range(MAX_ASIDES + 1):
        barge_in.note_commit(is_aside=True)
        barge_in.note_item(str(number))
    assert not barge_in.take_aside("0")
    assert barge_in.take_aside("1")
