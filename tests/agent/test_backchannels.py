import pytest

from sipagent.agent.backchannels import Backchannels

SIGNS = ["Mm-hm.", "Uh-huh!", "OKAY", "okay, okay, sure", "I see.", "Ja, genau.", "D'accord.", "", "…"]
WISHES = ["Stop.", "No.", "Yes.", "Okay, stop.", "Wait a moment", "Hello?", "ok " * 7, "I", "mmm hello mm"]


@pytest.mark.parametrize("text", SIGNS)
def test_signs_of_listening(text: str) -> None:
    assert text in Backchannels()


@pytest.mark.parametrize("text", WISHES)
def test_words_that_want_something(text: str) -> None:
    assert text not in Backchannels()


def test_phrases_of_ones_own() -> None:
    assert "Go ahead, please" in Backchannels(["go ahead", "Please!"])
    assert "okay" not in Backchannels(["go ahead"])
    assert "okay" not in Backchannels([])
