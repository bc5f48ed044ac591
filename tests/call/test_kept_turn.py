from sipagent.call.kept_turn import SERVER_KEPT_S, UNHEARD_KEPT_S, KeptTurn
from sipagent.formats import PCMU

SECOND = 8000


def test_of_what_nobody_hears_a_second_is_kept() -> None:
    kept = KeptTurn(PCMU, is_local=False)
    for number in range(200):
        kept.append(bytes([number]) * 160)
    assert len(kept) == UNHEARD_KEPT_S * SECOND
    assert kept.audio == b"".join(bytes([number]) * 160 for number in range(150, 200))


def test_speech_is_kept_until_it_is_a_turn_and_bounded() -> None:
    kept = KeptTurn(PCMU, is_local=False)
    kept.append(bytes(2 * SECOND))
    kept.note_speech()
    kept.append(bytes(3 * SECOND))
    assert len(kept) == 4 * SECOND
    kept.append(bytes(60 * SECOND))
    assert len(kept) == SERVER_KEPT_S * SECOND
    kept.clear()
    assert not kept
    kept.append(bytes(2 * SECOND))
    assert len(kept) == UNHEARD_KEPT_S * SECOND


def test_where_turns_are_judged_here_all_that_comes_is_one() -> None:
    kept = KeptTurn(PCMU, is_local=True)
    kept.append(bytes(20 * SECOND))
    assert len(kept) == 20 * SECOND
    kept.change(is_local=False)
    kept.append(bytes(1))
    assert len(kept) == SERVER_KEPT_S * SECOND, "what is open was heard"
