"""The instruments of ``make talk``: each has to find the fault it is made for; and one call through the program."""

from array import array
from base64 import b64encode
from math import inf
from pathlib import Path
from random import Random

import numpy as np
import pytest
from figure import Figure
from program import Entry
from talk import sounds
from talk.caller import FRAME, SILENCE, Echo, Record, Said
from talk.faults import ROLL_OVER, Recovery
from talk.faults import judge as recover
from talk.figures import false_start_figures, percentile_ms, recovery_figures, surrounding_figures
from talk.heard import tell
from talk.judge import Overlap, judge
from talk.model import Item, Session
from talk.model_process import read_taps
from talk.plan import Plan
from talk.scenes import Scene, scenes
from talk.simulated import FAILURES, INTERRUPTIONS, fail, interrupt
from talk.trials import make_calls

from sipagent.aio import loop
from sipagent.audio.fades import fade_in, fade_out
from sipagent.audio.g711 import decode_ulaw, encode_ulaw, to_pcm
from sipagent.rtp.packet import pack_packet

needs_sounds = pytest.mark.skipif(bool(sounds.missing()), reason=f"needs {' '.join(sounds.PACKAGES)}")

RATE = 8000
STEP_S = 0.020


def item(number: int = 0, seconds: float = 4.0) -> Item:
    noise = np.random.default_rng(number).normal(0.0, 3000.0, round(seconds * RATE))
    audio = encode_ulaw(to_pcm(noise)).replace(b"\xff", b"\xfe")
    return Item((f"item_{number}", 0), 0.0, bytearray(audio))


def frames(audio: bytes) -> list[bytes]:
    return [audio[at : at + FRAME].ljust(FRAME, b"\xff") for at in range(0, len(audio), FRAME)]


def arrivals(payloads: list[bytes], *, begin_s: float = 0.0) -> list[tuple[float, bytes]]:
    """Packets 20 ms apart."""
    return [
        (begin_s + STEP_S * number, pack_packet(0, number, FRAME * number, 7, payload))
        for number, payload in enumerate(payloads)
    ]


def raised(frame: bytes) -> bytes:
    return encode_ulaw(fade_in(decode_ulaw(frame[:40]), rate=RATE, duration_ms=5)) + frame[40:]


def remnant(frame: bytes) -> bytes:
    return encode_ulaw(fade_out(decode_ulaw(frame[:40]), rate=RATE, duration_ms=5)) + SILENCE[40:]


def said(onset_at: float, ended_at: float) -> Said:
    return Said("cough", "a cough", onset_at, ended_at)


def record(payloads: list[bytes], *utterances: Said) -> Record:
    return Record("test", "1", arrivals=arrivals(payloads), said=list(utterances), late=array("d", [0.0]), ended_at=9.0)


def session(*items: Item, truncated: tuple[tuple[float, int], ...] = ()) -> Session:
    cut = [(at, items[0].place, ms) for at, ms in truncated]
    return Session(1, "s", {each.place: each for each in items}, cut)


def paused(audio: bytes, *, at: int, frames_silent: int, skip: int = 0) -> list[bytes]:
    """The agent pauses as the program does it: a fade, silence, and on from where it was, or from further on."""
    all_frames = frames(audio)
    after = frames(audio[at * FRAME + skip :])
    return [*all_frames[:at], remnant(all_frames[at]), *[SILENCE] * frames_silent, raised(after[0]), *after[1:]]


# What came


def test_each_packet_is_told_what_it_holds() -> None:
    first, second = item(1, 0.5), item(2, 0.5)
    payloads = [SILENCE, *frames(bytes(first.audio)), SILENCE, *frames(bytes(second.audio))]
    packets = tell(arrivals(payloads), [first, second])
    assert [packet.kind for packet in packets] == ["silent", *["voice"] * 25, "silent", *["voice"] * 25]
    assert (packets[1].place, packets[1].begin, packets[25].end) == (first.place, 0, 4000)
    assert (packets[27].place, packets[27].begin) == (second.place, 0)


def test_an_item_ends_in_the_middle_of_a_packet() -> None:
    first, second = item(1, 0.11), item(2, 0.5)
    joined = frames(bytes(first.audio + second.audio))
    packets = tell(arrivals(joined), [first, second])
    assert {packet.kind for packet in packets} == {"voice"}
    assert (packets[5].place, packets[5].end, packets[6].begin) == (first.place, 880, 80)
    alone = tell(arrivals([*frames(bytes(first.audio)), SILENCE, *frames(bytes(second.audio))]), [first, second])
    assert [packet.kind for packet in alone[:8]] == ["voice"] * 6 + ["silent", "voice"]


def test_fades_and_softer_packets_are_known_and_strangers_too() -> None:
    one = item(1, 1.0)
    all_frames = frames(bytes(one.audio))
    softer = encode_ulaw(to_pcm(decode_ulaw(all_frames[3]) * 0.25))
    stranger = encode_ulaw(to_pcm(np.random.default_rng(9).normal(0, 3000, FRAME)))
    payloads = [*all_frames[:3], softer, remnant(all_frames[4]), SILENCE, raised(all_frames[4]), stranger]
    packets = tell(arrivals(payloads), [one])
    assert [packet.kind for packet in packets] == [
        "voice", "voice", "voice", "ducked", "remnant", "silent", "voice", "other",
    ]  # fmt: skip
    assert packets[6].begin == 4 * FRAME


# What it means


def test_a_pause_that_goes_on_with_the_next_sample_loses_nothing() -> None:
    one = item()
    payloads = paused(bytes(one.audio), at=50, frames_silent=15)
    found = judge(record(payloads, said(0.95, 1.2)), [session(one)])
    (overlap,) = found.overlaps
    assert overlap.duck == pytest.approx(0.03), "the last whole packet"
    assert overlap.silence == pytest.approx(0.05), "the remnant is heard, too"
    assert overlap.resumed == pytest.approx(0.12)
    assert (overlap.lost_ms, overlap.repeated_ms, overlap.is_cut) == (0.0, 0.0, False)
    assert (found.cuts, found.stops) == (0, 1)


def test_a_lost_or_repeated_syllable_is_found_to_the_sample() -> None:
    one = item()
    lossy = judge(record(paused(bytes(one.audio), at=50, frames_silent=15, skip=8), said(0.95, 1.2)), [session(one)])
    assert lossy.overlaps[0].lost_ms == pytest.approx(1.0)
    assert lossy.lost_ms == pytest.approx(1.0)
    again = judge(record(paused(bytes(one.audio), at=50, frames_silent=15, skip=-80), said(0.95, 1.2)), [session(one)])
    assert (again.overlaps[0].lost_ms, again.overlaps[0].repeated_ms) == (0.0, pytest.approx(10.0))


def test_an_interruption_is_timed_and_its_truncate_compared_with_what_came() -> None:
    one, answer = item(1), item(2)
    payloads = [*frames(bytes(one.audio))[:52], *[SILENCE] * 60, *frames(bytes(answer.audio))]
    told = session(one, answer, truncated=((1.06, 1032),))
    found = judge(record(payloads, said(0.95, 1.8)), [told])
    (overlap,) = found.overlaps
    assert overlap.silence == pytest.approx(0.07)
    assert overlap.cut == pytest.approx(0.11)
    assert overlap.answer == pytest.approx(0.44)
    assert not overlap.is_missed
    assert found.truncate_errors_ms == [pytest.approx(-8.0)]


def test_an_agent_that_speaks_on_was_missed() -> None:
    one = item()
    found = judge(record(frames(bytes(one.audio)), said(0.95, 1.8)), [session(one)])
    (overlap,) = found.overlaps
    assert overlap.is_missed
    assert overlap.duck == inf
    late = judge(record(paused(bytes(one.audio), at=170, frames_silent=30), said(0.95, 1.8)), [session(one)])
    assert late.overlaps[0].is_missed


def test_what_is_said_while_the_agent_is_silent_is_no_overlap() -> None:
    one = item()
    payloads = [*[SILENCE] * 100, *frames(bytes(one.audio))]
    assert judge(record(payloads, said(0.95, 1.2)), [session(one)]).overlaps == []


def test_refused_truncates_are_counted() -> None:
    one = session(item())
    one.errors += [(1.0, "truncate_3", "invalid_value"), (1.0, "cancel_1", "response_cancel_not_active")]
    found = judge(record([SILENCE]), [one])
    assert (found.refused_truncates, found.other_errors) == (1, ["response_cancel_not_active"])


# A model that fails


def ready(*ids: str) -> list[Entry]:
    return [{"event": "model_ready", "time": "2026-01-01T00:00:00Z", "session_id": session_id} for session_id in ids]


def failed(payloads: list[bytes], *sessions: Session, ended: str = "", kind: str = "socket cut") -> Recovery:
    call = record(payloads, said(8.0, 9.0))
    call.lost = ended
    return recover(kind, call, sessions, ready(*(each.id for each in sessions)))


def test_silence_filler_and_the_voice_of_another_session_are_told_apart() -> None:
    first, second, last = item(1, 1.0), item(2, 1.0), item(3, 1.0)
    filler = frames(encode_ulaw(to_pcm(np.random.default_rng(9).normal(0, 300, 20 * FRAME))))
    silence = [SILENCE] * 10
    before = [*frames(bytes(first.audio)), *silence, *filler, *frames(bytes(second.audio))]
    payloads = [*before, *[SILENCE] * (460 - len(before)), *frames(bytes(last.audio))]
    sessions = session(first), Session(2, "t", {each.place: each for each in (second, last)})
    found = failed(payloads, *sessions)
    assert found.gap == pytest.approx(0.2)
    assert found.resumed == pytest.approx(0.62)
    assert not found.is_lost
    assert not found.is_wrong
    assert failed(payloads, *sessions, ended="bye").is_lost
    assert failed(payloads[:460], *sessions).is_lost, "the caller spoke, and nobody answered"
    without = [SILENCE if payload in filler else payload for payload in payloads]
    assert failed(without, *sessions).gap == pytest.approx(0.6)
    assert failed(without, *sessions).is_wrong


def test_a_call_whose_model_never_came_back_has_no_recovery() -> None:
    first = item(1, 1.0)
    found = failed([*frames(bytes(first.audio)), *[SILENCE] * 500], session(first))
    assert (found.gap, found.resumed, found.is_lost) == (inf, inf, True)
    assert all(each.is_missed for each in recovery_figures(found.kind, [found]))
    assert all(each.is_missed for each in recovery_figures(found.kind, []))


def test_a_gap_where_a_session_is_left_for_another_is_found() -> None:
    first, second = item(1, 1.0), item(2, 9.0)
    sessions = session(first), Session(2, "t", {second.place: second})
    payloads = [*frames(bytes(first.audio)), *[SILENCE] * 12, *frames(bytes(second.audio))]
    found = failed(payloads, *sessions, kind=ROLL_OVER)
    assert found.longest_gap == pytest.approx(0.24)
    assert any(each.is_missed for each in recovery_figures(ROLL_OVER, [found]))


def test_what_a_dead_model_wrote_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    created = b64encode(b'{"type": "session.created", "session": {"id": "sess_1"}}').decode()
    (tmp_path / "tap").write_text(f"1 sends 1.5 {created}\n1 ends 2.5 \n2 sends 3.5 {created[:20]}")
    (one,) = read_taps(tmp_path / "tap")
    assert (one.id, one.ended_at, one.events) == ("sess_1", 2.5, [(1.5, "session.created")])


# Figures


def overlap(**more: float) -> Overlap:
    times = {"duck": 0.04, "silence": 0.06, "cut": inf, "answer": inf, "resumed": 0.2}
    return Overlap(said(1.0, 1.3), **times | {"lost_ms": 0.0, "repeated_ms": 0.0} | more)


def figure(figures: list[Figure], name: str) -> Figure:
    return next(each for each in figures if each.name.startswith(name))


def test_one_false_cut_is_one_too_many() -> None:
    kind = "coughs and backchannels"
    good, bad = overlap(), overlap(cut=0.1)
    assert not any(each.is_missed for each in false_start_figures(kind, [good] * 50))
    assert figure(list(false_start_figures(kind, [good] * 49 + [bad])), "false cuts").is_missed
    slow, lossy = overlap(resumed=0.41), overlap(lost_ms=0.125)
    assert figure(list(false_start_figures(kind, [good, slow])), "end of the sound").is_missed
    assert figure(list(false_start_figures(kind, [good, lossy])), "lost").is_missed
    assert figure(list(false_start_figures(kind, [good, overlap(resumed=inf)])), "end of the sound").is_missed


def test_nothing_measured_is_nothing_met() -> None:
    assert figure(list(false_start_figures("coughs and backchannels", [])), "lost").is_missed
    assert figure(list(surrounding_figures("echo at 10 dB", [])), "lost").is_missed


def test_percentiles_know_of_never() -> None:
    assert percentile_ms([0.1, 0.2, inf], 50) == pytest.approx(200)
    assert percentile_ms([0.1, 0.2, inf], 95) == inf
    assert percentile_ms([], 50) == inf


# Sounds


@needs_sounds
def test_sounds_begin_at_their_first_sample_and_are_as_loud_as_said() -> None:
    assert len(sounds.sentences()) >= 20
    for pcm in (*sounds.sentences(), *sounds.backchannels(), *sounds.coughs(6), *sounds.clicks(6)):
        assert abs(int(pcm[0])) > sounds.ONSET
        assert abs(int(pcm[-1])) > sounds.ONSET
    for pcm in sounds.backchannels():
        assert sounds.active_rms(pcm) == pytest.approx(32_768 * 10 ** (sounds.SPEECH_DBFS / 20), rel=0.1)
    street = sounds.street(10.0, snr_db=10.0, seed=1).astype(np.float64)
    assert 20 * np.log10(street.std() / 32_768) == pytest.approx(sounds.SPEECH_DBFS - 10, abs=0.1)


def test_an_echo_comes_back_late_and_so_much_softer() -> None:
    echo = Echo(10.0, delay_ms=60.0, random=Random(1))
    voice = frames(bytes(item(1, 3.0).audio))
    back = []
    for payload in voice:
        echo.play(payload)
        back.append(echo.next_frame())
    sent, returned = decode_ulaw(b"".join(voice)).astype(np.float64), np.concatenate(back)
    assert not returned[: 8 * 60].any()
    loss = 20 * np.log10(sent.std() / returned[1600:].std())
    assert loss == pytest.approx(10.0, abs=0.5)


@needs_sounds
def test_the_plan_has_as_many_sounds_as_its_bars_speak_of() -> None:
    made: dict[str, list[Scene]] = {}
    for _, group in scenes(Plan()):
        for scene in group:
            made.setdefault(scene.kind, []).append(scene)
    assert len(made["interruption, quiet"]) * Plan().per_call == 100
    assert len(made["coughs and backchannels"]) * Plan().per_call == 50
    for kind in ("echo at 10 dB", "street at 10 dB"):
        assert len(made[kind]) * Plan().noise_s == 600


# The simulation and the program


def test_in_the_simulation_the_model_believes_what_the_telephone_received() -> None:
    """A few worlds; ``make talk`` has all of them."""
    worlds = [interrupt(seed) for seed in range(4)]
    errors = [error for each in worlds for error in each.errors_ms]
    assert len(errors) >= 4 * INTERRUPTIONS // 2
    assert max(errors) <= 20
    assert sum(each.refused for each in worlds) == 0


@pytest.mark.parametrize("name", FAILURES)
def test_in_the_simulation_a_call_outlives_its_model(name: str) -> None:
    found = [fail(name, seed) for seed in range(3)]
    assert not any(each.is_lost for each in found)
    if name == ROLL_OVER:
        assert max(each.longest_gap for each in found) <= 0.2
    else:
        assert max(each.gap for each in found) <= 0.3
        assert max(each.resumed for each in found) <= 2.0


@needs_sounds
def test_a_caller_interrupts_the_running_program(tmp_path: Path) -> None:
    """How soon says nothing on a busy machine; that it comes to it, and that the model is told the truth, does."""
    (title, group), *_ = scenes(Plan(interruptions=(("quiet", 1),), per_call=1))
    (found,) = loop.run(
        make_calls([(title, group)], tmp_path, at_once=1, is_realtime=False, progress=lambda _title, _share: None)
    )
    assert not found.record.lost
    assert [overlap.is_cut for overlap in found.overlaps] == [True]
    assert all(abs(error) <= 20 for error in found.truncate_errors_ms)
    assert (found.refused_truncates, found.lost_ms) == (0, 0)
    assert found.greeting < inf
