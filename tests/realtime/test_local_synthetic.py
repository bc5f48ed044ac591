"""The voice and the ear of the simulation understand each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.formats import PCM, PCMA, PCMU, AudioFormat
from sipagent.realtime.local.phrases import PHRASES
from sipagent.realtime.local.synthetic import MAX_PHRASES, hear, speak

BOOK = tuple(PHRASES)


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, PCM], ids=lambda each: each.type)
def test_every_phrase_is_understood(audio_format: AudioFormat) -> None:
    assert len(BOOK) <= MAX_PHRASES
    silence = audio_format.silence * 2000
    for phrase in BOOK:
        assert hear(silence + speak(phrase, audio_format, BOOK) + silence, audio_format, BOOK) == phrase


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, PCM], ids=lambda each: each.type)
def test_other_speech_and_silence_are_not(audio_format: AudioFormat) -> None:
    assert hear(speak("once upon a time there was a telephone", audio_format, BOOK), audio_format, BOOK) == ""
    assert hear(audio_format.silence * 8000, audio_format, BOOK) == ""
    assert hear(b"", audio_format, BOOK) == ""


def test_its_length_is_that_of_the_text() -> None:
    assert len(speak("x" * 50, PCMU)) == 3000 * 8
    assert len(speak("x", PCM)) == 300 * 48


@given(st.sampled_from(BOOK), st.lists(st.integers(0, 99), max_size=20))
def test_lost_packets_do_no_harm(phrase: str, lost: list[int]) -> None:
    audio = bytearray(speak(phrase, PCMU, BOOK) * 3)
    for packet in lost:
        start = packet * 160
        audio[start : start + 160] = b"\xff" * len(audio[start : start + 160])
    assert hear(bytes(audio), PCMU, BOOK) == phrase


@given(st.binary(max_size=2000), st.sampled_from([PCMU, PCMA, PCM]))
def test_noise_is_heard_without_harm(audio: bytes, audio_format: AudioFormat) -> None:
    assert hear(audio, audio_format, BOOK) in (*BOOK, "")
