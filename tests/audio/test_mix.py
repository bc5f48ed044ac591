"""Mixing: sums that never wrap round, and conferences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sipagent.audio import mix as mix_module
from sipagent.audio.mix import gain, mix, mix_minus
from sipagent.errors import LocalProtocolError


def pcm(*samples: int) -> NDArray[np.int16]:
    return np.array(samples, np.int16)


def test_what_is_too_loud_is_clipped_and_never_wraps_round() -> None:
    assert mix([pcm(30_000, -30_000, 5), pcm(30_000, -30_000, 6)]).tolist() == [32_767, -32_768, 11]


def test_parts_that_are_shorter_are_followed_by_silence() -> None:
    assert mix([pcm(1, 2, 3), pcm(10), pcm()]).tolist() == [11, 2, 3]
    assert mix([]).tolist() == []


def test_the_order_makes_no_difference() -> None:
    """Clipped after each part, the first and the last of these would differ."""
    parts = [pcm(30_000), pcm(30_000), pcm(-30_000)]
    assert mix(parts).tolist() == mix(parts[::-1]).tolist() == [30_000]


@pytest.mark.parametrize(("db", "sample"), [(0.0, 1_000), (6.0206, 2_000), (-20.0, 100), (80.0, 32_767), (-200.0, 0)])
def test_gain_is_in_decibels_and_clipped(db: float, sample: int) -> None:
    louder = gain(pcm(1_000, -1_000), db)
    assert louder.dtype == np.int16
    assert louder.tolist() in ([sample, -sample], [sample, -32_768])


@given(st.lists(st.lists(st.integers(-32_768, 32_767), min_size=3, max_size=3), min_size=1, max_size=12))
def test_each_leg_hears_all_but_itself(rows: list[list[int]]) -> None:
    frames = np.array(rows, np.int16)
    for number, heard in enumerate(mix_minus(frames)):
        others = [frames[other] for other in range(len(frames)) if other != number]
        assert np.array_equal(heard, mix([*others, pcm(0, 0, 0)]))


def test_a_conference_of_very_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mix_module, "MAX_LEGS", 3)
    assert mix_minus(np.ones((3, 2), np.int16)).tolist() == [[2, 2]] * 3
    with pytest.raises(LocalProtocolError):
        mix_minus(np.ones((4, 2), np.int16))


def test_the_largest_conference_does_not_overflow() -> None:
    loud = np.full((mix_module.MAX_LEGS, 1), -32_768, np.int16)
    assert mix_minus(loud)[0, 0] == -32_768


def test_the_work_grows_with_the_legs_and_not_with_their_pairs() -> None:
    """Additions are counted, not time."""
    counted = []

    class Counting(np.ndarray):
        def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **kwargs: object) -> object:
            counted.append(max(np.size(each) for each in inputs if isinstance(each, np.ndarray)))
            plain = [each.view(np.ndarray) if isinstance(each, Counting) else each for each in inputs]
            return getattr(ufunc, method)(*plain, **kwargs)

    def work(legs: int) -> int:
        counted.clear()
        mix_minus(np.ones((legs, 160), np.int16).view(Counting))
        return sum(counted)

    assert 0 < work(400) <= 2.1 * work(200)
