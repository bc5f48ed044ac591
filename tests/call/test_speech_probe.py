from collections.abc import Sequence

import pytest

from sipagent.audio.silero import window_bytes
from sipagent.call.events import JudgeSpeech
from sipagent.call.speech_probe import DEAF_AFTER, DENIED_AFTER, HANGOVER_S, LEAD, Mode, SpeechProbe, Verdict
from sipagent.formats import PCM, PCMU

FRAME = bytes(160)


class Probe:
    """A probe and a clock; the model answers at once, what it is told to, or not at all."""

    def __init__(self, mode: Mode = "fused") -> None:
        self.asked: list[JudgeSpeech] = []
        self.probe = SpeechProbe(PCMU, mode=mode, emit=self._take)
        self.now = 10.0
        self.answers = True
        self.chance = 0.0
        self._unanswered = 0

    def _take(self, output: object) -> None:
        assert isinstance(output, JudgeSpeech)
        self.asked.append(output)

    def hear(self, pattern: str, chance: float = 0.0, *, is_open: bool = False) -> list[bool]:
        """``s`` loud, ``.`` quiet; 20 ms each."""
        heard = []
        for letter in pattern:
            loud = letter == "s"
            heard.append(self.probe.hear(FRAME, is_speech=loud, is_loud=loud, is_open=is_open, now=self.now))
            self.now += 0.020
            while self.answers and self._unanswered < len(self.asked):
                self.probe.receive_answer(chance, self.asked[self._unanswered].burst)
                self._unanswered += 1
        return heard


def test_silence_asks_nothing() -> None:
    scene = Probe()
    assert scene.hear("." * 200) == [False] * 200
    assert scene.asked == []


def test_a_burst_is_asked_about_with_what_was_before_it_and_a_little_after() -> None:
    scene = Probe()
    scene.hear("." * 20 + "s" * 10 + "." * 60)
    assert all(len(each.window) == window_bytes(PCMU) and each.audio_format is PCMU for each in scene.asked)
    assert [each.is_first for each in scene.asked] == [True] + [False] * (len(scene.asked) - 1)
    frames = LEAD + 10 + round(HANGOVER_S / 0.020)
    assert len(scene.asked) == pytest.approx(frames * 20 / 32, abs=1.5)
    scene.hear("s" * 5)
    assert scene.asked[-1].burst == scene.asked[0].burst + 1


def test_wideband_windows_are_of_the_same_length_in_time() -> None:
    asked: list[object] = []
    probe = SpeechProbe(PCM, mode="fused", emit=asked.append)
    for number in range(8):
        probe.hear(bytes(960), is_speech=True, is_loud=True, is_open=False, now=number * 0.020)
    assert len(asked) == 5


def test_two_certain_windows_are_speech() -> None:
    scene = Probe()
    scene.hear("...ss", 0.9)
    assert scene.probe.verdict is Verdict.UNKNOWN  # the first windows are of the silence before
    scene.hear("sss", 0.9)
    assert scene.probe.verdict is Verdict.SPEECH
    assert not scene.probe.is_noise


def test_what_is_never_suspected_is_noise_and_counts_no_more() -> None:
    scene = Probe()
    heard = scene.hear("..." + "s" * 30, 0.1)
    assert scene.probe.verdict is Verdict.NOISE
    assert scene.probe.is_noise
    denied = heard.index(False, 3)
    assert DENIED_AFTER * 32 <= (denied - 3) * 20 <= 260
    assert not any(heard[denied:])


def test_speech_in_what_was_noise_counts_again() -> None:
    scene = Probe()
    scene.hear("..." + "s" * 30, 0.1)
    assert scene.hear("sss", 0.4)[-1]
    assert not scene.probe.is_noise
    scene.hear("s" * 20, 0.1)
    assert scene.probe.verdict is Verdict.NOISE
    assert not scene.probe.is_noise  # not all of the burst was


def test_a_short_burst_is_judged_by_its_windows() -> None:
    cough, word = Probe(), Probe()
    cough.hear("...sssss......", 0.1)
    word.hear("...", 0.0)
    word.hear("sssss", 0.4)
    word.hear("......", 0.1)
    assert cough.probe.was_noise
    assert not word.probe.was_noise


def test_the_model_alone_waits_for_a_suspicion() -> None:
    scene = Probe("silero")
    assert not any(scene.hear("..." + "s" * 8, 0.2))
    assert scene.hear("sss", 0.3)[-1]


def test_what_is_certain_is_asked_about_no_more_until_it_is_over() -> None:
    scene = Probe()
    scene.hear("..." + "s" * 10, 0.9)
    asked = len(scene.asked)
    assert all(scene.hear("s" * 20, 0.0, is_open=True))
    assert len(scene.asked) == asked
    scene.hear("." * 40 + "ss")
    assert len(scene.asked) > asked


def test_in_a_turn_speech_ends_when_the_model_says_so() -> None:
    scene = Probe("silero")
    scene.hear("..." + "s" * 10, 0.9)
    heard = scene.hear("s" * 10, 0.4, is_open=True)
    assert heard[0]
    assert not any(heard[5:])


def test_without_answers_loudness_decides() -> None:
    for mode in ("fused", "silero"):
        scene = Probe(mode)  # type: ignore[arg-type]
        scene.answers = False
        heard = scene.hear("..." + "s" * 40)
        assert scene.probe.verdict is Verdict.UNKNOWN
        assert all(heard[3 + 1 + DEAF_AFTER * 32 // 20 :])
        scene.hear("." * 40)
        assert scene.hear("sss") == [True] * 3  # it is not waited for again
        scene.answers = True
        scene.hear("." * 40)
        scene.hear("s" * 20, 0.1)
        scene.hear("." * 40)
        assert scene.hear("s" * 20, 0.1)[-1] is False


@pytest.mark.parametrize("burst", [0, 2, 77])
def test_answers_that_were_not_asked_for_mean_nothing(burst: int) -> None:
    scene = Probe()
    scene.answers = False
    scene.hear("s")
    for _ in range(DENIED_AFTER * 2):
        assert not scene.probe.receive_answer(0.0, burst)
    assert scene.probe.verdict is Verdict.UNKNOWN


def test_more_answers_than_questions_mean_nothing() -> None:
    scene = Probe()
    scene.answers = False
    scene.hear("ss")
    certain: Sequence[bool] = [scene.probe.receive_answer(0.9, 1) for _ in range(9)]
    assert not any(certain)
