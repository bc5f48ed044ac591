from sipagent.call.kept_turn import SERVER_KEPT_S, UNHEARD_KEPT_S, KeptTurn
from sipagent.formats import PCMU

SECOND = 8000


def silence(seconds: float) -> list[bytes]:
    return [bytes(160)] * round(seconds * 50)


def fill(kept: KeptTurn, seconds: float) -> None:
    for frame in silence(seconds):
        kept.append(frame)


def test_of_what_nobody_hears_a_moment_is_kept() -> None:
    kept = KeptTurn(PCMU, is_local=False)
    for number in range(200):
        kept.append(bytes([number]) * 160)
    assert len(kept) == UNHEARD_KEPT_S * SECOND
    assert kept.audio == b"".join(bytes([number]) * 160 for number in range(185, 200))


def test_speech_is_kept_until_it_is_a_turn_and_bounded() -> None:
    kept = KeptTurn(PCMU, is_local=False)
    fill(kept, 2.0)
    kept.note_speech()
    fill(kept, 3.0)
    assert len(kept) == (UNHEARD_KEPT_S + 3) * SECOND == len(kept.audio)
    fill(kept, 60.0)
    assert len(kept) == SERVER_KEPT_S * SECOND == len(kept.audio)
    kept.clear()
    assert not kept
    fill(kept, 2.0)
    assert len(kept) == UNHEARD_KEPT_S * SECOND


def test_where_turns_are_judged_here_all_that_comes_is_one() -> None:
    kept = KeptTurn(PCMU, is_local=True)
    fill(kept, 20.0)
    assert len(kept) == 20 * SECOND
    kept.change(is_local=False)
    kept.append(b"\xff")
    assert SERVER_KEPT_S * SECOND - 160 < len(kept) <= SERVER_KEPT_S * SECOND, "what is open was heard"
