import pytest

from sipagent.formats import PCM, PCMU
from sipagent.realtime.live_input import MAX_LEAD_MS, PacedInput

VOICE_20_MS = b"\x0f\x8f" * 80


@pytest.fixture
def paced() -> PacedInput:
    paced = PacedInput(PCMU)
    paced.start(now=10.0)
    return paced


def tick(paced: PacedInput, times: int = 1) -> list[bytes]:
    return [paced.handle_timer(now=paced.due_at) for _ in range(times)]


def test_before_it_is_time_nothing_is_due(paced: PacedInput) -> None:
    assert paced.due_at == pytest.approx(10.1)
    assert paced.handle_timer(now=10.09) == b""
    paced.stop()
    assert paced.handle_timer(now=99.0) == b""


def test_a_stream_in_time_passes_untouched(paced: PacedInput) -> None:
    for _ in range(50):
        assert [paced.pass_on(VOICE_20_MS) for _ in range(5)] == [VOICE_20_MS] * 5
        assert tick(paced) == [b""]
    assert paced.dropped_ms == 0


def test_a_caller_of_whom_nothing_comes_is_heard_to_be_silent(paced: PacedInput) -> None:
    paced.pass_on(VOICE_20_MS)
    assert tick(paced) == [b""]
    silence = b"".join(tick(paced, 10))
    assert silence == PCMU.silence_of(1000)


def test_silence_that_was_made_up_for_is_not_told_twice(paced: PacedInput) -> None:
    tick(paced, 5)
    assert paced.pass_on(PCMU.silence_of(300)) == b""
    assert paced.pass_on(PCMU.silence_of(300)) == PCMU.silence_of(100)
    tick(paced, 5)
    assert paced.pass_on(VOICE_20_MS) == VOICE_20_MS
    assert paced.pass_on(PCMU.silence_of(20)) == PCMU.silence_of(20)


def test_a_burst_passes_as_far_as_it_can_be_made_up_for(paced: PacedInput) -> None:
    burst = [paced.pass_on(VOICE_20_MS) for _ in range(50)]
    passed_ms = len(b"".join(burst)) // 8
    assert passed_ms == MAX_LEAD_MS + 100
    assert paced.dropped_ms == 1000 - passed_ms
    assert b"".join(tick(paced, 5)) == PCMU.silence_of(100)  # 500 ms have passed, 400 were heard


def test_a_process_that_stood_still_makes_up_for_a_second_at_most(paced: PacedInput) -> None:
    assert paced.handle_timer(now=100.0) == PCMU.silence_of(1000)
    assert paced.due_at == pytest.approx(100.1)


def test_linear_samples_stay_whole() -> None:
    paced = PacedInput(PCM)
    paced.start(now=0.0)
    passed = paced.pass_on(b"\x01\x02" * 24 * 1000)
    assert len(passed) == (MAX_LEAD_MS + 100) * 48
