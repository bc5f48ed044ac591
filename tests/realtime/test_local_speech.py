"""How a text becomes sentences, and sentences pieces of words and audio."""

from hypothesis import given
from hypothesis import strategies as st

from sipagent.formats import PCM, PCMU
from sipagent.realtime.local.phrases import LONG_TEXTS
from sipagent.realtime.local.speech import AHEAD_MS, MAX_ASKED, MAX_CHARACTERS, MAX_SENTENCE, Speech, split_sentences


def test_sentences() -> None:
    assert split_sentences("One. Two!  Three? Four") == ["One. ", "Two!  ", "Three? ", "Four"]
    assert split_sentences("It is 2.5 miles.") == ["It is 2.5 miles."]
    assert split_sentences("  ") == []


def test_long_sentences_are_split_at_pauses() -> None:
    clause = "and a boat came by, "
    sentences = split_sentences(clause * 30)
    assert len(sentences) > 1
    assert all(len(sentence) <= MAX_SENTENCE for sentence in sentences)
    assert all(sentence.endswith("by, ") for sentence in sentences)


@given(st.text(alphabet="ab., \n!", max_size=2000))
def test_no_letter_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(0 < len(sentence) <= MAX_SENTENCE for sentence in sentences)


def test_texts_are_bounded() -> None:
    assert sum(map(len, split_sentences("word " * 10_000))) <= MAX_CHARACTERS
    assert all("".join(split_sentences(text)) == text for text in LONG_TEXTS)


def test_sentences_are_asked_for_ahead_and_no_further() -> None:
    speech = Speech("A. B. C. D. E.", PCMU)
    asked = []
    while (sentence := speech.next_sentence()) is not None:
        asked.append(sentence)
    assert asked == [(0, "A."), (1, "B."), (2, "C.")]
    assert len(asked) == MAX_ASKED
    speech.receive(0, b"\xff" * 8)
    assert speech.next_sentence() == (3, "D.")
    assert speech.next_sentence() is None
    speech.receive(1, b"\xff" * 8 * AHEAD_MS)
    assert speech.next_sentence() is None
    speech.take(8 * 200)
    assert speech.next_sentence() == (4, "E.")


def test_words_come_with_the_audio_in_which_they_begin() -> None:
    speech = Speech("aa bbb cc", PCMU)
    speech.next_sentence()
    assert speech.take(800) is None
    speech.receive(0, b"\x01" * 720)
    pieces = []
    while not speech.is_finished:
        piece = speech.take(240)
        assert piece is not None
        pieces.append(piece)
    assert [piece.words for piece in pieces] == [(("aa ", 30),), (("bbb ", 70),), (("cc", 90),)]
    assert [len(piece.audio) for piece in pieces] == [240, 240, 240]


def test_a_piece_is_never_longer_than_what_is_kept() -> None:
    speech = Speech("A. B.", PCMU)
    speech.next_sentence()
    speech.receive(0, b"\xff" * 9 * AHEAD_MS)
    piece = speech.take(8 * 10 * AHEAD_MS)
    assert piece is not None
    assert len(piece.audio) == 8 * AHEAD_MS


def test_samples_are_never_cut() -> None:
    speech = Speech("a", PCM)
    speech.next_sentence()
    speech.receive(0, b"\x01\x02\x03")
    piece = speech.take(100)
    assert piece is not None
    assert piece.audio == b"\x01\x02"


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.integers(1, 200))
def test_all_words_and_all_audio_come_out_in_order(sizes: list[int], step_ms: int) -> None:
    text = " ".join(f"w{n}x w{n}y." for n in range(len(sizes)))
    speech = Speech(text, PCMU)
    audio, words, ends = b"", "", [0]
    while not speech.is_finished:
        while (sentence := speech.next_sentence()) is not None:
            speech.receive(sentence[0], bytes([sentence[0]]) * sizes[sentence[0]])
        piece = speech.take(step_ms * 8)
        assert piece is not None
        audio += piece.audio
        words += "".join(word for word, _ in piece.words)
        ends += [end for _, end in piece.words]
    assert audio == b"".join(bytes([n]) * size for n, size in enumerate(sizes))
    assert words == text
    assert ends == sorted(ends)
    assert ends[-1] == -(-sum(sizes) // 8)
