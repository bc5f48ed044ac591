"""When to try again: by whom the call was made, and by what the refusal says."""

from random import Random

import pytest
from sip.peers import invite, respond

from sipagent.sip.glare import GLARES_MAX, RETRY_AFTER_MAX_S, Glare
from sipagent.sip.message import Request, Response, parse_message


def refusal(status: int, headers: str = "") -> Response:
    request = parse_message(invite())
    assert isinstance(request, Request)
    response = parse_message(respond(request, status, headers=headers))
    assert isinstance(response, Response)
    return response


@pytest.mark.parametrize(("is_ours", "earliest", "latest"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_who_made_the_call_waits_longer(is_ours: bool, earliest: float, latest: float) -> None:
    random = Random(1)
    delays = [Glare(random, is_call_id_ours=is_ours).delay_s(refusal(491)) or 0.0 for _ in range(500)]
    assert earliest <= min(delays) < earliest + 0.05
    assert latest - 0.05 < max(delays) <= latest
    assert all(round(delay * 100, 6) == round(delay * 100) for delay in delays)


@pytest.mark.parametrize(
    ("status", "headers", "earliest"),
    [
        (491, "", 0.0),
        (491, "Retry-After: 7", 0.0),
        (500, "Retry-After: 7", 7.0),
        (500, "Retry-After: 0 (at once)", 0.0),
        (500, f"Retry-After: {RETRY_AFTER_MAX_S}", 10.0),
        (500, f"Retry-After: {RETRY_AFTER_MAX_S + 1}", None),
        (500, "", None),
        (503, "Retry-After: 7", None),
        (488, "", None),
    ],
)
def test_what_is_a_collision(status: int, headers: str, earliest: float | None) -> None:
    delay = Glare(Random(1), is_call_id_ours=False).delay_s(refusal(status, headers))
    assert (delay is None) == (earliest is None)
    if delay is not None and earliest is not None:
        assert earliest <= delay <= max(earliest, 2.0)


def test_enough_is_enough() -> None:
    glare = Glare(Random(1), is_call_id_ours=True)
    assert [glare.delay_s(refusal(491)) is None for _ in range(GLARES_MAX + 1)] == [False] * GLARES_MAX + [True]
    assert glare.pause_s() > 0.0
