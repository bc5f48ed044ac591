"""The rules; and what they are worth on recorded prompts, printed, beside a fixed silence (pytest -s)."""

import wave
from collections.abc import Iterator
from itertools import pairwise
from math import erf, exp, log, sqrt
from pathlib import Path
from random import Random
from statistics import mean

import numpy as np
import pytest
from call.stage import Stage

from sipagent.audio.g711 import Pcm, encode_ulaw
from sipagent.audio.prosody import Ending, ending_of
from sipagent.call import events
from sipagent.call.turn_end import LEAST_LEARNED, TurnEnd, TurnEndSettings
from sipagent.formats import PCMU

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
SETTINGS = TurnEndSettings()
DONE = Ending(fall=-0.9, level_db=-28.0, held_ms=40)
OPEN = Ending(fall=0.4, level_db=-1.0, held_ms=40)
NEITHER = Ending(fall=-0.36, level_db=-12.0, held_ms=40)
UHM = Ending(fall=-0.05, level_db=-15.0, held_ms=240)


@pytest.fixture
def judge() -> TurnEnd:
    return TurnEnd(SETTINGS)


def test_the_voice_moves_the_silence_between_its_bounds(judge: TurnEnd) -> None:
    assert judge.silence_ms(NEITHER, turn_ms=3_000) == SETTINGS.usual_ms
    assert judge.silence_ms(None, turn_ms=3_000) == SETTINGS.usual_ms
    assert judge.silence_ms(DONE, turn_ms=3_000) == SETTINGS.min_ms
    assert judge.silence_ms(OPEN, turn_ms=3_000) == SETTINGS.max_ms
    assert judge.silence_ms(UHM, turn_ms=3_000) == SETTINGS.max_ms
    assert judge.silence_ms(UHM, turn_ms=400) == (SETTINGS.usual_ms + SETTINGS.max_ms) // 2


@pytest.mark.parametrize(
    ("asked", "silence_ms"),
    [
        ("Is that correct?", SETTINGS.min_ms),
        ("Your table is at seven. Would you like a window seat?", SETTINGS.min_ms),
        ("At seven then, right?", SETTINGS.min_ms),
        ("What can I do for you?", SETTINGS.min_ms),  # it looks like one, and a short answer is one all the same
        ("How may I help you today? Take your time.", SETTINGS.usual_ms),
        ("Could you tell me your account number?", SETTINGS.max_ms),
        ("Please spell your name.", SETTINGS.max_ms),
        ("What is your date of birth?", SETTINGS.max_ms),
        ("Shall I give you the number?", SETTINGS.min_ms),
        ("The number is two two five. Goodbye.", SETTINGS.usual_ms),
        ("", SETTINGS.usual_ms),
    ],
)
def test_what_the_agent_asked_for(judge: TurnEnd, asked: str, silence_ms: int) -> None:
    judge.agent_said(asked)
    assert judge.silence_ms(NEITHER, turn_ms=600) == silence_ms


def test_a_long_answer_is_no_yes(judge: TurnEnd) -> None:
    judge.agent_said("Is that correct?")
    assert judge.silence_ms(NEITHER, turn_ms=4_000) == SETTINGS.usual_ms


def test_a_caller_who_pauses_long_is_waited_for(judge: TurnEnd) -> None:
    for _ in range(LEAST_LEARNED - 1):
        judge.went_on(650.0)
    assert judge.silence_ms(NEITHER, turn_ms=3_000) == SETTINGS.usual_ms
    judge.went_on(650.0)
    assert judge.silence_ms(NEITHER, turn_ms=3_000) == 780
    for _ in range(20):
        judge.went_on(990.0)
    assert judge.silence_ms(DONE, turn_ms=3_000) == SETTINGS.min_ms
    assert judge.silence_ms(NEITHER, turn_ms=3_000) == SETTINGS.max_ms
    for _ in range(20):
        judge.went_on(50.0)
        judge.went_on(5_000.0)  # another turn
        judge.went_on(200.0)
    assert judge.silence_ms(NEITHER, turn_ms=3_000) == SETTINGS.usual_ms


def test_a_question_of_any_length_is_looked_at_in_no_time(judge: TurnEnd) -> None:
    judge.agent_said("is it " * 100_000)
    judge.agent_said("number " * 100_000)
    assert judge.silence_ms(NEITHER, turn_ms=600) == SETTINGS.max_ms


# In a call


def adaptive(question: str) -> Stage:
    stage = Stage(turn_end=SETTINGS, greeting="Hello.")
    stage.answer()
    stage.respond(question, ms=200)
    stage.finish()
    stage.play(400)
    stage.hear("." * 20)
    stage.outputs.clear()
    return stage


def silence_before_the_answer(stage: Stage) -> int:
    for number in range(100):
        if stage.sent("input_audio_buffer.commit"):
            return number * 20
        stage.hear(".")
    raise AssertionError("no answer")


def test_a_yes_is_answered_sooner_than_a_number() -> None:
    yes, number = adaptive("Is that correct?"), adaptive("What is your account number?")
    for stage in (yes, number):
        stage.hear("s" * 20)
    assert silence_before_the_answer(yes) <= SETTINGS.usual_ms + 40  # a buzz is no word, nor does it fall
    assert SETTINGS.max_ms <= silence_before_the_answer(number) <= SETTINGS.max_ms + 40


def test_digits_in_groups_are_one_turn() -> None:
    stage = adaptive("What is your account number?")
    for _ in range(4):
        stage.hear("s" * 8 + "." * 40)
    assert not stage.sent("input_audio_buffer.commit")
    stage.hear("." * 20)
    assert len(stage.sent("input_audio_buffer.commit")) == 1
    assert len(stage.of(events.SpeechStarted)) == 1


def test_a_phone_that_sends_nothing_in_silence_is_waited_for_likewise() -> None:
    stage = adaptive("What is your account number?")
    stage.hear("s" * 20)
    stage.advance(0.9)
    assert not stage.sent("input_audio_buffer.commit")
    stage.advance(0.2)
    assert stage.sent("input_audio_buffer.commit")


# What it is worth

MEDIAN_MS, SPREAD = 450.0, 0.6
"""How long pauses within a turn are taken to be: log-normal; 43 in 100 are then over 500 ms. A speaker who reads
prompts makes shorter ones, of a prompt's own length nothing is used."""


def phrases() -> Iterator[tuple[Pcm, bool]]:
    """What was said up to each pause of 160 ms and more in the prompts, and whether that is the end."""
    for file in sorted(PROMPTS.glob("*.wav"))[::3]:
        with wave.open(str(file)) as sound:
            pcm = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
        frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160).astype(np.float64)
        levels = np.sqrt(np.mean(frames**2, axis=1))
        loud = np.flatnonzero(levels > max(180.0, 0.03 * levels.max()))
        if len(loud) < 25:
            continue
        ends = [*(int(at) for at, after in pairwise(loud) if after - at >= 8), int(loud[-1])]
        for end in ends:
            if end >= 20:
                yield pcm[: (end + 1) * 160], end == ends[-1]


def cut(silence_ms: float, median_ms: float = MEDIAN_MS) -> float:
    """How many pauses inside a turn are longer."""
    return 0.5 * (1 - erf(log(silence_ms / median_ms) / SPREAD / sqrt(2)))


@pytest.mark.skipif(not PROMPTS.exists(), reason="Debian's asterisk-core-sounds-en-wav is not installed")
def test_fewer_sentences_are_cut_in_two_than_by_a_fixed_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """Callers of different habits, each of whom is heard for twenty pauses; the prompts are one voice's."""
    random = Random(4)
    heard = [
        (ending_of(encode_ulaw(np.concatenate((pcm[-12_000:], np.zeros(2_400, np.int16)))), PCMU), is_end)
        for pcm, is_end in phrases()
    ]
    inside = [ending for ending, is_end in heard if not is_end]
    ends = [ending for ending, is_end in heard if is_end]
    cuts, waits, callers = [], [], []
    for _ in range(100):
        judge, median_ms = TurnEnd(SETTINGS), MEDIAN_MS * exp(random.gauss(0, 0.3))
        callers.append(median_ms)
        for _ in range(20):
            silence = judge.silence_ms(random.choice(inside), turn_ms=3_000)
            cuts.append(cut(silence, median_ms))
            waits.append(judge.silence_ms(random.choice(ends), turn_ms=3_000))
            judge.went_on(random.lognormvariate(log(median_ms), SPREAD))
    rate, wait = mean(cuts), mean(waits)
    usual = mean(cut(SETTINGS.usual_ms, median_ms) for median_ms in callers)
    same = mean(cut(wait, median_ms) for median_ms in callers)
    with capsys.disabled():
        print(
            f"\n{len(inside)} pauses, {len(ends)} ends: cut in two {rate:.1%}, waited {wait:.0f} ms; "
            f"fixed {SETTINGS.usual_ms} ms: {usual:.1%}; fixed {wait:.0f} ms: {same:.1%}"
        )
    assert rate < usual - 0.05
    assert rate < same - 0.02
    assert wait < SETTINGS.usual_ms + 150
