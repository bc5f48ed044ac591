from sipagent.call.events import AgentSaid
from sipagent.call.playout import Part
from sipagent.call.transcript import MAX_ITEMS, Transcript


def part(item_id: str = "item", *, sent: int = 800, received: int = 800) -> Part:
    return Part(item_id, 0, 0.0, 8, received=received, sent=sent, is_finished=True)


def test_words_are_gathered_until_the_part_is_heard() -> None:
    transcript = Transcript()
    for words in ("We are ", "open ", "today."):
        transcript.receive_text("item", 0, words, is_final=False)
    assert transcript.close(part(), is_cut=False) == AgentSaid("We are open today.", 100, is_cut=False)
    assert transcript.close(part(), is_cut=False) is None


def test_the_final_text_takes_the_place_of_the_pieces() -> None:
    transcript = Transcript()
    transcript.receive_text("item", 0, "We are opne", is_final=False)
    transcript.receive_text("item", 0, "We are open.", is_final=True)
    assert transcript.close(part(), is_cut=False) == AgentSaid("We are open.", 100, is_cut=False)


def test_a_cut_keeps_the_share_of_the_words_that_was_heard_and_no_broken_one() -> None:
    transcript = Transcript()
    transcript.receive_text("item", 0, "one two three four five ", is_final=True)
    assert transcript.close(part(sent=400), is_cut=True) == AgentSaid("one two —", 50, is_cut=True)


def test_of_a_part_nobody_heard_there_is_nothing_to_say() -> None:
    transcript = Transcript()
    transcript.receive_text("item", 0, "unheard", is_final=True)
    assert transcript.close(part(sent=0), is_cut=True) is None
    assert transcript.close(part(sent=400), is_cut=True) is None


def test_a_part_without_words() -> None:
    assert Transcript().close(part(), is_cut=False) is None


def test_parts_are_kept_apart() -> None:
    transcript = Transcript()
    transcript.receive_text("a", 0, "first", is_final=True)
    transcript.receive_text("b", 0, "second", is_final=True)
    said = transcript.close(part("b"), is_cut=False)
    assert said is not None
    assert said.text == "second"


def test_words_whose_audio_never_comes_are_bounded() -> None:
    transcript = Transcript()
    for n in range(MAX_ITEMS + 1):
        transcript.receive_text(f"item {n}", 0, "words", is_final=True)
    assert transcript.close(part("item 0"), is_cut=False) is None
    assert transcript.close(part("item 1"), is_cut=False) is not None
