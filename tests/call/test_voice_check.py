import numpy as np
from call.stage import QUIET, SPEECH

from sipagent.audio.g711 import encode_ulaw
from sipagent.call.voice_check import DENIED_AFTER_MS, HANGOVER_S, LEAD, VoiceCheck
from sipagent.formats import PCMU

HISS = encode_ulaw((np.random.default_rng(1).normal(size=160) * 3_000).astype(np.int16))


def hear(check: VoiceCheck, frame: bytes, count: int, at: float, *, is_loud: bool = True) -> list[bool]:
    return [
        check.hear(frame, is_speech=is_loud, is_loud=is_loud, is_open=False, now=at + 0.020 * number)
        for number in range(count)
    ]


def test_it_is_idle_until_the_agent_pauses() -> None:
    check = VoiceCheck(PCMU)
    assert hear(check, HISS, 100, 0.0) == [True] * 100
    assert not check.is_noise
    assert not check.was_noise


def test_hiss_counts_no_more_after_a_while_until_a_voice_is_in_it() -> None:
    check = VoiceCheck(PCMU)
    hear(check, HISS, LEAD, 0.0)
    check.begin()
    heard = hear(check, HISS, 20, 0.06)
    denied_ms = (LEAD + heard.index(False)) * 20
    assert DENIED_AFTER_MS <= denied_ms <= DENIED_AFTER_MS + 60
    assert check.is_noise
    assert hear(check, SPEECH, 10, 0.46)[-1]
    assert not check.is_noise


def test_a_voice_is_none() -> None:
    check = VoiceCheck(PCMU)
    hear(check, SPEECH, LEAD, 0.0)
    check.begin()
    assert all(hear(check, SPEECH, 50, 0.06))
    assert not check.is_noise
    assert not check.was_noise


def test_a_sound_ends_with_the_silence_behind_it() -> None:
    check = VoiceCheck(PCMU)
    hear(check, HISS, LEAD, 0.0)
    check.begin()
    hear(check, HISS, 3, 0.06)
    hear(check, QUIET["PCMU"], 10, 0.12, is_loud=False)
    assert check.was_noise
    hear(check, QUIET["PCMU"], round(HANGOVER_S / 0.020), 0.32, is_loud=False)
    assert not check.was_noise
    assert hear(check, HISS, 30, 1.0) == [True] * 30
