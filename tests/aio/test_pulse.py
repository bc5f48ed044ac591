"""Timers that are set again and again, the kernel's and the loop's."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import TypeAlias

import pytest
from loopback import Clean, within

from sipagent.aio import pulse as pulse_module
from sipagent.aio import timerfd
from sipagent.aio.pulse import GRID_S, KernelPulse, LoopPulse, Pulse, make_pulse, on_grid

needs_timerfd = pytest.mark.skipif(timerfd._LIBRARY is None, reason="this system has no timerfd")
Kind: TypeAlias = Callable[[Callable[[], None]], Pulse]
KINDS = [LoopPulse, pytest.param(KernelPulse, marks=needs_timerfd)]


class Beats:
    """When a pulse went off."""

    def __init__(self, kind: Kind, *, wanted: int) -> None:
        self.at: list[float] = []
        self.done = asyncio.Event()
        self.wanted = wanted
        self.pulse = kind(self._on_pulse)

    def _on_pulse(self) -> None:
        self.at.append(monotonic())
        if len(self.at) == self.wanted:
            self.pulse.stop()
            self.done.set()


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_off_once_and_when_it_is_set_again(run: Clean, kind: Kind) -> None:
    async def main() -> None:
        beats = Beats(kind, wanted=1)
        for _ in range(3):
            beats.at.clear()
            beats.done.clear()
            at = monotonic() + 0.01
            beats.pulse.set(at)
            await within(beats.done.wait())
            assert beats.at[0] > at - 0.001, "loops count in milliseconds"
        beats.pulse.set(monotonic() - 1.0)  # what is past is due at once
        beats.done.clear()
        beats.at.clear()
        await within(beats.done.wait())
        beats.pulse.close()

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_off_again_and_again_until_stopped(run: Clean, kind: Kind) -> None:
    async def main() -> None:
        beats, other = Beats(kind, wanted=10), Beats(kind, wanted=30)
        beats.pulse.set(monotonic(), every_s=0.002)
        other.pulse.set(monotonic(), every_s=0.002)
        await within(beats.done.wait())
        await within(other.done.wait())
        assert len(beats.at) == 10, "the other went on, this one did not"
        assert all(later >= earlier for earlier, later in pairwise(beats.at))
        other.pulse.set(monotonic() + 60.0)
        other.pulse.close()
        beats.pulse.close()
        beats.pulse.close()
        beats.pulse.set(monotonic())  # no more, and no harm
        beats.pulse.stop()

    run(main())


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@needs_timerfd
def test_a_pulse_leaves_no_descriptor_open(run: Clean) -> None:
    async def main() -> None:
        before = descriptors()
        for _ in range(5):
            pulse = KernelPulse(lambda: None)
            pulse.set(monotonic() + 5.0)
            pulse.close()
        assert descriptors() == before

    run(main())


def test_where_the_kernel_has_none_the_loop_s_does(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        pulse = make_pulse(lambda: None)
        assert isinstance(pulse, LoopPulse if timerfd._LIBRARY is None else KernelPulse)
        pulse.close()
        monkeypatch.setattr(timerfd, "_LIBRARY", None)
        assert isinstance(make_pulse(lambda: None), LoopPulse)
        monkeypatch.setattr(pulse_module.timerfd, "create", lambda: (_ for _ in ()).throw(OSError(24, "too many")))
        assert isinstance(make_pulse(lambda: None), LoopPulse)

    run(main())


def test_moments_are_put_on_a_grid() -> None:
    assert on_grid(12.0001, GRID_S) == pytest.approx(12.00125)
    assert on_grid(12.0049, GRID_S) == pytest.approx(12.005)
    assert on_grid(12.0001, 0.005) == pytest.approx(12.005)
