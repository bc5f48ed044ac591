"""The time stamp in the audio."""

from base64 import b64encode

import pytest

from sipagent.audio.g711 import decode_ulaw
from sipagent.bench.mark import AGENT_BEGINS, CYCLE, MARK_BYTES, MARK_CHARACTERS, make_mark, read_age


def test_a_mark_tells_its_kind_and_its_age() -> None:
    mark = make_mark(AGENT_BEGINS, 1234.5)
    assert len(mark) == MARK_BYTES
    assert mark[0] == AGENT_BEGINS
    assert read_age(mark, 1234.512345) == pytest.approx(0.012345, abs=2e-6)


def test_the_age_is_right_when_the_count_begins_anew() -> None:
    end = CYCLE / 1e6
    assert read_age(make_mark(AGENT_BEGINS, end - 0.001), end + 0.002) == pytest.approx(0.003, abs=2e-6)


def test_a_mark_is_not_heard() -> None:
    loudest = 120  # of 32,768
    assert abs(decode_ulaw(make_mark(AGENT_BEGINS, 1e6)).astype(int)).max() <= loudest


def test_what_is_no_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        read_age(bytes(MARK_BYTES), 0.0)


def test_a_mark_has_its_own_characters_in_base64() -> None:
    mark = make_mark(AGENT_BEGINS, 1.0)
    assert b64encode(mark + bytes(151))[:MARK_CHARACTERS] == b64encode(mark)
