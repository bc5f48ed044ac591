from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.call.playout import MAX_HELD_TICKS, MAX_QUEUED_MS, Part, Playout
from sipagent.formats import PCM, PCMU

SILENCE = b"\xff"
FRAME = 160


@pytest.fixture
def playout() -> Playout:
    return Playout(PCMU)


def speak(playout: Playout, audio: bytes, item_id: str = "item", *, now: float = 0.0) -> None:
    """A whole part at once."""
    playout.add(item_id, 0, audio, now=now)
    playout.finish(item_id, 0)


def drain(playout: Playout) -> Iterator[bytes]:
    while (frame := playout.next_frame()) is not None:
        yield frame


def test_nothing_to_say(playout: Playout) -> None:
    assert playout.is_idle
    assert playout.next_frame() is None
    assert playout.clear() == []
    assert playout.pop_started() is None
    assert playout.pop_heard() is None


def test_a_burst_leaves_in_frames(playout: Playout) -> None:
    audio = bytes(range(200)) * 4
    speak(playout, audio)
    assert playout.queued_ms == 100
    assert list(drain(playout)) == [audio[n : n + FRAME] for n in range(0, 800, FRAME)]
    assert playout.is_idle
    assert playout.queued_ms == 0


def test_a_frame_is_made_of_many_pieces(playout: Playout) -> None:
    for n in range(10):
        playout.add("item", 0, bytes([n]) * 40, now=0.0)
    frames = [playout.next_frame(), playout.next_frame()]
    assert frames == [b"".join(bytes([n]) * 40 for n in group) for group in (range(4), range(4, 8))]


def test_one_part_follows_another_without_a_gap(playout: Playout) -> None:
    speak(playout, b"a" * 200, "first")
    speak(playout, b"b" * 120, "second")
    assert list(drain(playout)) == [b"a" * 160, b"a" * 40 + b"b" * 120]


def test_the_last_frame_of_a_finished_part_is_filled_up_at_once(playout: Playout) -> None:
    speak(playout, b"a" * 170)
    assert list(drain(playout)) == [b"a" * 160, b"a" * 10 + SILENCE * 150]


def test_a_frame_that_is_not_full_waits_for_its_rest(playout: Playout) -> None:
    playout.add("item", 0, b"a" * 100, now=0.0)
    assert playout.next_frame() is None
    playout.add("item", 0, b"b" * 60, now=0.0)
    assert playout.next_frame() == b"a" * 100 + b"b" * 60


def test_it_does_not_wait_for_ever(playout: Playout) -> None:
    playout.add("item", 0, b"a" * 100, now=0.0)
    assert [playout.next_frame() for _ in range(MAX_HELD_TICKS)] == [None] * MAX_HELD_TICKS
    assert playout.next_frame() == b"a" * 100 + SILENCE * 60


def test_the_filling_is_not_counted_as_heard(playout: Playout) -> None:
    playout.add("item", 0, b"a" * 100, now=0.0)
    for _ in range(MAX_HELD_TICKS + 1):
        playout.next_frame()
    (part,) = playout.clear()
    assert (part.sent, part.heard_ms, part.received_ms) == (100, 12, 12)


def test_clear_says_what_was_heard_of_each_part(playout: Playout) -> None:
    speak(playout, b"a" * 160, "heard")
    speak(playout, b"b" * 320, "cut")
    playout.add("waiting", 1, b"c" * 800, now=7.0)
    frames = [playout.next_frame(), playout.next_frame()]
    assert frames == [b"a" * 160, b"b" * 160]
    assert playout.clear() == [
        Part("cut", 0, 0.0, 8, received=320, sent=160, is_finished=True, was_queued=True),
        Part("waiting", 1, 7.0, 8, received=800, was_queued=True),
    ]
    assert playout.is_idle
    assert playout.queued_ms == 0
    assert playout.next_frame() is None
    assert playout.clear() == []


def test_what_the_model_is_still_sending_was_not_heard_to_its_end(playout: Playout) -> None:
    playout.add("item", 0, b"a" * 160, now=0.0)
    playout.next_frame()
    assert [part.heard_ms for part in playout.clear()] == [20]


def test_a_part_may_be_finished_after_it_was_played(playout: Playout) -> None:
    playout.add("item", 0, b"a" * 160, now=0.0)
    playout.next_frame()
    assert playout.pop_heard() is None
    playout.finish("item", 0)
    heard = playout.pop_heard()
    assert heard is not None
    assert heard.heard_ms == 20
    assert playout.pop_heard() is None
    assert playout.clear() == []


def test_to_finish_what_never_began_is_no_error(playout: Playout) -> None:
    playout.finish("item", 0)
    assert playout.pop_heard() is None


def test_finish_all(playout: Playout) -> None:
    playout.add("played", 0, b"a" * 160, now=0.0)
    playout.next_frame()
    playout.add("waiting", 0, b"b" * 100, now=0.0)
    playout.finish_all()
    heard = playout.pop_heard()
    assert heard is not None
    assert heard.item_id == "played"
    assert playout.next_frame() == b"b" * 100 + SILENCE * 60  # nothing more will come, so it waits for nothing
    assert playout.clear() == []


def test_a_part_starts_once_when_its_first_byte_goes_out(playout: Playout) -> None:
    playout.add("item", 0, b"a" * 320, now=3.5)
    assert playout.pop_started() is None
    playout.next_frame()
    started = playout.pop_started()
    assert started is not None
    assert (started.item_id, started.received_at) == ("item", 3.5)
    playout.next_frame()
    assert playout.pop_started() is None


def test_a_runaway_model_is_bounded(playout: Playout) -> None:
    playout.add("item", 0, bytes(MAX_QUEUED_MS * 8), now=0.0)
    playout.add("item", 0, b"a", now=0.0)
    assert playout.dropped == 1
    assert playout.queued_ms == MAX_QUEUED_MS
    playout.next_frame()
    playout.add("item", 0, b"a" * FRAME, now=0.0)
    assert playout.dropped == 1


def test_empty_audio_is_nothing(playout: Playout) -> None:
    playout.add("item", 0, b"", now=0.0)
    assert playout.is_idle
    assert playout.clear() == []


# Any sequence of inputs.

MAX_PARTS = 4
"""Parts that are open at a time; more is never in flight."""

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, MAX_PARTS - 1), st.integers(0, 700)),
        st.tuples(st.just("finish"), st.integers(0, MAX_PARTS - 1), st.just(0)),
        st.tuples(st.just("next"), st.just(0), st.integers(1, 6)),
        st.tuples(st.just("clear"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@dataclass
class Ledger:
    """What ought to be true, kept in the plainest way: every byte by its part."""

    waiting: list[tuple[str, int]] = field(default_factory=list)
    received: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)

    def heard(self, name: str) -> bool:
        return name in self.finished and self.sent.get(name, 0) == self.received[name]

    def take(self, frame: bytes) -> None:
        count = min(len(self.waiting), FRAME)
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        assert frame == bytes(value for _, value in taken) + SILENCE * (FRAME - count)
        for name, _ in taken:
            self.sent[name] = self.sent.get(name, 0) + 1


class Run:
    """A playout beside its ledger; each part that was finished or cleared is followed by one of a new name."""

    def __init__(self) -> None:
        self.playout = Playout(PCMU)
        self.ledger = Ledger()
        self.names = [f"{n}" for n in range(MAX_PARTS)]
        self.serial = 0
        self.patience = 0

    def add(self, slot: int, size: int) -> None:
        name = self.names[slot]
        audio = bytes((self.serial + n) % 255 for n in range(size))  # never the byte of silence
        self.serial += size
        self.playout.add(name, 0, audio, now=0.0)
        if audio:
            self.ledger.received[name] = self.ledger.received.get(name, 0) + size
            self.ledger.waiting += [(name, value) for value in audio]

    def finish(self, slot: int, _: int) -> None:
        name = self.names[slot]
        self.playout.finish(name, 0)
        if name in self.ledger.received:
            self.ledger.finished.add(name)
            self.names[slot] = f"{name}'"

    def next(self, _: int, count: int) -> None:
        for _ in range(count):
            frame = self.playout.next_frame()
            if frame is None:
                self.patience += bool(self.ledger.waiting)
                assert len(self.ledger.waiting) < FRAME
                assert self.patience <= MAX_HELD_TICKS
            else:
                self.patience = 0
                self.ledger.take(frame)

    def clear(self, _: int, __: int) -> None:
        ledger = self.ledger
        unheard = {part.item_id: part for part in self.playout.clear()}
        assert unheard.keys() == {name for name in ledger.received if not ledger.heard(name)}
        for name, part in unheard.items():
            assert (part.received, part.sent) == (ledger.received[name], ledger.sent.get(name, 0))
            assert part.heard_ms <= part.received_ms
            assert part.heard_ms * 8 <= part.sent < (part.heard_ms + 1) * 8
        self.ledger = Ledger()
        self.patience = 0
        self.names = [f"{name}*" for name in self.names]


@settings(deadline=None)
@given(operations=OPERATIONS)
def test_every_byte_is_sent_once_in_order_or_cleared(operations: list[tuple[str, int, int]]) -> None:
    run = Run()
    for operation, first, second in [*operations, ("next", 0, 100)]:
        getattr(run, operation)(first, second)
        assert run.playout.is_idle == (not run.ledger.waiting)
        assert run.playout.queued_ms == len(run.ledger.waiting) // 8


@settings(deadline=None)
@given(operations=OPERATIONS)
def test_every_part_starts_once_and_is_heard_at_most_once(operations: list[tuple[str, int, int]]) -> None:
    run = Run()
    started: list[str] = []
    heard: list[str] = []
    for operation, first, second in operations:
        sent_before, ledger = dict(run.ledger.sent), run.ledger
        getattr(run, operation)(first, second)
        while (part := run.playout.pop_started()) is not None:
            started.append(part.item_id)
            assert part.item_id in ledger.sent.keys() - sent_before.keys()
        while (part := run.playout.pop_heard()) is not None:
            heard.append(part.item_id)
            assert ledger.heard(part.item_id)
    assert len(set(started)) == len(started)
    assert len(set(heard)) == len(heard)
    assert set(heard) <= set(started)


def test_linear_samples_in_packets_of_another_length() -> None:
    playout = Playout(PCM)
    audio = bytes(range(240)) * 4 * 10  # 200 ms
    speak(playout, audio)
    sizes = [len(frame) for frame in iter(lambda: playout.next_frame(60), None)]
    assert sizes == [60 * 48] * 4
    (part,) = iter(playout.pop_heard, None)
    assert (part.heard_ms, part.received_ms) == (200, 200)


def test_what_is_left_out_to_catch_up_was_never_received(playout: Playout) -> None:
    playout.add("first", 0, b"a" * 800, now=0.0)
    playout.finish("first", 0)
    playout.add("second", 0, b"b" * 1600, now=0.0)
    assert playout.next_frame() == b"a" * 160
    assert playout.catch_up(300) == 0
    assert playout.catch_up(100) == 180
    assert playout.queued_ms == 100
    assert list(drain(playout)) == [b"b" * 160] * 5
    (part,) = playout.clear()
    assert (part.item_id, part.heard_ms, part.received_ms) == ("second", 100, 100)
    heard = playout.pop_heard()
    assert heard is not None
    assert (heard.item_id, heard.heard_ms, heard.received_ms) == ("first", 20, 20)
