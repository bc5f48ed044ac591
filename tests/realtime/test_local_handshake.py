"""Who may come in, and with which HTTP status others are sent away."""

import msgspec
import pytest

from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.handshake import Accepted, Refused, judge_handshake
from sipagent.realtime.local.settings import LocalSettings

QUERY = {"model": "gpt-realtime-2.1"}
SECRET = LocalSettings(api_key="sk-right")


def status(settings: LocalSettings, headers: dict[str, str], *, number: int = 1) -> int:
    judgement = judge_handshake(settings, "/v1/realtime", QUERY, headers, number=number)
    return judgement.status if isinstance(judgement, Refused) else 101


def test_without_a_key_everybody_may_come_in() -> None:
    assert judge_handshake(LocalSettings(), "/v1/realtime", QUERY, {}) == Accepted("gpt-realtime-2.1", False, 1)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 401),
        ({"authorization": "Bearer sk-wrong"}, 401),
        ({"authorization": "Bearer sk-wröng"}, 401),
        ({"authorization": "Basic sk-right"}, 401),
        ({"authorization": "Bearer sk-right"}, 101),
        ({"authorization": "bearer  sk-right"}, 101),
        ({"sec-websocket-protocol": "realtime, openai-insecure-api-key.sk-right"}, 101),
        ({"sec-websocket-protocol": "realtime, sk-right"}, 401),
    ],
)
def test_a_configured_key_must_be_borne(headers: dict[str, str], expected: int) -> None:
    assert status(SECRET, headers) == expected


def test_a_refusal_says_why_and_not_the_key() -> None:
    refused = judge_handshake(SECRET, "/v1/realtime", QUERY, {"authorization": "Bearer sk-wrong"})
    assert isinstance(refused, Refused)
    error = msgspec.json.decode(refused.body)["error"]
    assert (error["code"], error["type"]) == ("invalid_api_key", "invalid_request_error")
    assert b"sk-" not in refused.body


@pytest.mark.parametrize("query", [{}, {"model": ""}, {"model": "x" * 129}, {"call_id": "rtc_1"}])
def test_a_model_must_be_named(query: dict[str, str]) -> None:
    refused = judge_handshake(LocalSettings(), "/v1/realtime", query, {})
    assert isinstance(refused, Refused)
    assert refused.status == 400


def test_other_paths_are_unknown() -> None:
    refused = judge_handshake(LocalSettings(), "/v1/responses", QUERY, {})
    assert isinstance(refused, Refused)
    assert refused.status == 404


def test_the_beta_header_is_noticed() -> None:
    accepted = judge_handshake(LocalSettings(), "/v1/realtime", QUERY, {"openai-beta": "realtime=v1"})
    assert accepted == Accepted("gpt-realtime-2.1", True, 1)


def test_a_scripted_refusal() -> None:
    settings = LocalSettings(faults=FaultScript.parse("refuse_handshake status=429 on=1"))
    assert [status(settings, {}, number=number) for number in (1, 2)] == [429, 101]
    settings = LocalSettings(faults=FaultScript.parse("refuse_handshake status=599"))
    assert status(settings, {}) == 599


def test_the_live_server_has_a_path_of_its_own_and_no_query() -> None:
    path = "/v1/live/sessions"
    assert judge_handshake(LocalSettings(), path, {}, {}) == Accepted("", False, 1, is_live=True)
    for query, settings, expected in ((QUERY, LocalSettings(), 400), ({}, SECRET, 401)):
        refused = judge_handshake(settings, path, query, {})
        assert isinstance(refused, Refused)
        assert refused.status == expected
