"""Session timers: what is agreed on, by whom it is kept, and when it ends."""

import pytest
from sip.peers import invite, respond

from sipagent.sip.headers import SECONDS_MAX, Headers
from sipagent.sip.message import Request, Response, parse_message
from sipagent.sip.session_timer import (
    INTERVAL_MAX_S,
    RAISES_MAX,
    SessionExpires,
    SessionTimer,
    SessionTimerSettings,
    read_min_se,
    read_session_expires,
)

OFF = SessionTimerSettings("off")
ACCEPT = SessionTimerSettings("accept")
ON = SessionTimerSettings("on")


def ask(*fields: str) -> Request:
    message = parse_message(invite(headers="\n".join(fields)))
    assert isinstance(message, Request)
    return message


def reply(status: int, *fields: str) -> Response:
    message = parse_message(respond(ask(), status, headers="\n".join(fields)))
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1800", SessionExpires(1800)),
        ("1800;refresher=uac", SessionExpires(1800, "uac")),
        ("90 ; refresher=UAS;x=y", SessionExpires(90, "uas")),
        ("90;refresher=me", SessionExpires(90)),
        ("9" * 5000, SessionExpires(SECONDS_MAX)),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1800;refresher=uac and more", None),
        ("1800;" + 8_000 * " ", None),
    ],
)
def test_session_expires(text: str, value: SessionExpires | None) -> None:
    assert read_session_expires(Headers([("x", text)])) == value
    if value:
        assert SessionExpires.parse(str(value)) == value


@pytest.mark.parametrize(("text", "value"), [("120", 120), ("120;x", 120), ("3", 90), ("none", 90), (None, 90)])
def test_min_se(text: str | None, value: int) -> None:
    assert read_min_se(Headers([] if text is None else [("Min-SE", text)])) == value


class TestAsWhoAsks:
    @pytest.mark.parametrize(
        ("settings", "fields"),
        [
            (OFF, []),
            (ACCEPT, []),
            (ON, [("Session-Expires", "1800")]),
            (SessionTimerSettings("on", 600, 300), [("Session-Expires", "600"), ("Min-SE", "300")]),
            (SessionTimerSettings("on", 10, 10), [("Session-Expires", "90")]),
        ],
    )
    def test_what_an_invite_says(self, settings: SessionTimerSettings, fields: list[tuple[str, str]]) -> None:
        assert SessionTimer(settings).request_headers() == fields

    @pytest.mark.parametrize(
        ("settings", "field", "interval_s", "is_ours", "is_shared"),
        [
            (ON, "Session-Expires: 1800;refresher=uac", 1800, True, True),
            (ON, "Session-Expires: 900;refresher=uas", 900, False, True),
            (ON, "Session-Expires: 900", 900, True, True),  # the parameter is mandatory; better two refresh than none
            (ON, "", 1800, True, False),
            (ACCEPT, "Session-Expires: 900;refresher=uac", 900, True, True),
            (ACCEPT, "", None, False, False),
            (ACCEPT, "Session-Expires: 1;refresher=uac", 90, True, True),
            (OFF, "Session-Expires: 900;refresher=uac", None, False, False),
        ],
    )
    def test_what_a_2xx_means(
        self, settings: SessionTimerSettings, field: str, interval_s: int | None, is_ours: bool, is_shared: bool
    ) -> None:
        timer = SessionTimer(settings)
        timer.receive_success(reply(200, field))
        assert (timer.interval_s, timer.is_ours, timer.is_shared) == (interval_s, is_ours, is_shared)

    def test_a_2xx_without_one_switches_it_off(self) -> None:
        timer = SessionTimer(ACCEPT)
        timer.receive_success(reply(200, "Session-Expires: 900;refresher=uac"))
        timer.receive_success(reply(200))
        assert timer.interval_s is None
        assert timer.request_headers() == []

    @pytest.mark.parametrize("refresher", ["uac", "uas"])
    def test_a_refresh_keeps_the_roles(self, refresher: str) -> None:
        timer = SessionTimer(ACCEPT)
        timer.receive_success(reply(200, f"Session-Expires: 900;refresher={refresher}"))
        assert timer.request_headers() == [("Session-Expires", f"900;refresher={refresher}")]

    def test_a_422_is_followed(self) -> None:
        timer = SessionTimer(SessionTimerSettings("on", 120))
        assert timer.raise_interval(reply(422, "Min-SE: 1900"))
        assert timer.request_headers() == [("Session-Expires", "1900"), ("Min-SE", "1900")]
        timer.receive_success(reply(200, "Session-Expires: 1900;refresher=uac"))
        assert timer.raise_interval(reply(422, "Min-SE: 2000"))
        assert timer.request_headers() == [("Session-Expires", "2000;refresher=uac"), ("Min-SE", "2000")]

    @pytest.mark.parametrize("field", ["", "Min-SE: 90", "Min-SE: soon"])
    def test_a_422_that_asks_for_nothing_new_is_not(self, field: str) -> None:
        assert not SessionTimer(ON).raise_interval(reply(422, field))

    def test_nor_one_too_many(self) -> None:
        timer = SessionTimer(ON)
        answers = [timer.raise_interval(reply(422, f"Min-SE: {2000 + number}")) for number in range(RAISES_MAX + 1)]
        assert answers == [True] * RAISES_MAX + [False]


TABLE = [
    # the peer knows, its refresher: ours (RFC 4028, section 9)
    ("", "", "uas"),
    ("", ";refresher=uac", "uas"),
    ("", ";refresher=uas", "uas"),
    ("Supported: timer", "", "uac"),
    ("Supported: timer", ";refresher=uac", "uac"),
    ("Supported: timer", ";refresher=uas", "uas"),
    ("Require: timer", "", "uac"),
]


class TestAsWhoIsAsked:
    @pytest.mark.parametrize(("option", "asked", "granted"), TABLE)
    def test_who_refreshes(self, option: str, asked: str, granted: str) -> None:
        timer = SessionTimer(ACCEPT)
        headers = dict(timer.accept(ask(option, f"Session-Expires: 900{asked}")))
        assert headers["Session-Expires"] == f"900;refresher={granted}"
        assert headers.get("Require") == ("timer" if option else None)
        assert timer.is_ours == (granted == "uas")
        assert timer.is_shared == bool(option)

    @pytest.mark.parametrize(
        ("fields", "granted"),
        [
            (["Session-Expires: 90"], 90),
            (["Session-Expires: 7200"], 7200),
            (["Session-Expires: 999999"], INTERVAL_MAX_S),
            (["Session-Expires: 999999", "Min-SE: 8000"], 8000),
        ],
    )
    def test_how_long(self, fields: list[str], granted: int) -> None:
        timer = SessionTimer(ACCEPT)
        assert timer.refuses(ask("Supported: timer", *fields)) is None
        timer.accept(ask("Supported: timer", *fields))
        assert timer.interval_s == granted

    @pytest.mark.parametrize(
        ("settings", "fields", "status"),
        [
            (ACCEPT, ["Supported: timer", "Session-Expires: 89"], "90"),
            (ACCEPT, ["k: timer", "x: 89"], "90"),
            (SessionTimerSettings(min_se_s=300), ["Supported: timer", "Session-Expires: 299"], "300"),
            (SessionTimerSettings(min_se_s=300), ["Supported: timer", "Session-Expires: 300"], None),
            (ACCEPT, ["Session-Expires: 89"], None),
            (ACCEPT, ["Supported: timer"], None),
            (OFF, ["Supported: timer", "Session-Expires: 89"], None),
        ],
    )
    def test_too_short_is_422(self, settings: SessionTimerSettings, fields: list[str], status: str | None) -> None:
        assert SessionTimer(settings).refuses(ask(*fields)) == (None if status is None else [("Min-SE", status)])

    def test_a_proxys_interval_that_is_too_short_is_raised(self) -> None:
        timer = SessionTimer(ACCEPT)
        assert timer.accept(ask("Session-Expires: 30")) == [("Session-Expires", "90;refresher=uas")]

    def test_nobody_asks(self) -> None:
        for settings in (OFF, ACCEPT):
            timer = SessionTimer(settings)
            assert timer.accept(ask("Supported: timer")) == []
            assert (timer.refresh_after_s, timer.expires_after_s) == (None, None)

    def test_we_ask(self) -> None:
        timer = SessionTimer(ON)
        assert dict(timer.accept(ask("Supported: timer")))["Session-Expires"] == "1800;refresher=uas"
        assert timer.is_ours

    @pytest.mark.parametrize("refresher", ["uac", "uas"])
    def test_a_refresh_without_a_word_of_it_keeps_it(self, refresher: str) -> None:
        timer = SessionTimer(ACCEPT)
        first = timer.accept(ask("Supported: timer", f"Session-Expires: 900;refresher={refresher}"))
        assert timer.accept(ask("Supported: timer")) == first

    def test_the_lowest_interval_that_was_ever_asked_for_is_remembered(self) -> None:
        timer = SessionTimer(ACCEPT)
        timer.accept(ask("Supported: timer", "Session-Expires: 900;refresher=uas", "Min-SE: 600"))
        assert ("Min-SE", "600") in timer.request_headers()


@pytest.mark.parametrize(
    ("field", "refresh_after_s", "expires_after_s"),
    [
        ("1800;refresher=uac", 900.0, 1768.0),
        ("1800;refresher=uas", None, 1768.0),
        ("90;refresher=uac", 45.0, 60.0),
        ("96;refresher=uas", None, 64.0),
        ("5;refresher=uac", 45.0, 60.0),
    ],
)
def test_when(field: str, refresh_after_s: float | None, expires_after_s: float | None) -> None:
    timer = SessionTimer(ACCEPT)
    timer.receive_success(reply(200, f"Session-Expires: {field}"))
    assert (timer.refresh_after_s, timer.expires_after_s) == (refresh_after_s, expires_after_s)


def test_a_peer_that_knows_of_none_is_refreshed_but_never_expires() -> None:
    timer = SessionTimer(ON)
    timer.receive_success(reply(200))
    assert (timer.refresh_after_s, timer.expires_after_s) == (900.0, None)
