"""Which lines are registered, and what the log says of it."""

from typing import Any

import pytest

from sipagent.control.line_keeper import LineKeeper
from sipagent.sip.account import Account
from sipagent.sip.events import AddressSeen, Ended, Event, Flow, Registered, RegistrationFailed, Unregistered
from sipagent.sip.uri import Uri

PBX = Uri.parse("sip:pbx.example.com")
ACCOUNTS = [
    Account(name="extension", address=PBX, contact_user="a", registrars=(PBX,)),
    Account(name="trunk", address=PBX, contact_user="b"),
]


class Endpoint:
    """Notes the commands."""

    def __init__(self) -> None:
        self.agent = self
        self.commands: list[tuple[str, str]] = []

    def register(self, name: str) -> None:
        self.commands.append(("register", name))

    def unregister(self, name: str) -> None:
        self.commands.append(("unregister", name))

    def command(self, method: Any, *args: Any) -> None:
        method(*args)


def test_those_that_have_a_registrar() -> None:
    endpoint: Any = Endpoint()
    keeper = LineKeeper(ACCOUNTS)
    keeper.register(endpoint)
    keeper.unregister(endpoint)
    assert endpoint.commands == [("register", "extension"), ("unregister", "extension")]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            Registered("pbx", 300, "pbx.example.com", ("198.51.100.7", 1024)),
            (
                "info",
                "registered",
                {"line": "pbx", "registrar": "pbx.example.com", "expires_s": 300, "seen_as": "198.51.100.7:1024"},
            ),
        ),
        (
            RegistrationFailed("pbx", 403, "403 Forbidden", 312.345),
            ("warning", "registration_failed", {"line": "pbx", "reason": "403 Forbidden", "retry_s": 312.3}),
        ),
        (
            AddressSeen(("198.51.100.7", 1024), Flow("UDP", ("203.0.113.1", 3478))),
            ("info", "seen_from_outside", {"address": "198.51.100.7:1024"}),
        ),
        (Unregistered("pbx"), ("info", "unregistered", {"line": "pbx"})),
        (Ended(1, "bye"), None),
    ],
)  # fmt: skip
def test_what_the_log_says(event: Event, line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []

    class Log:
        def __getattr__(self, level: str) -> Any:
            return lambda name, **fields: written.append((level, name, fields))

    monkeypatch.setattr("sipagent.control.line_keeper.get_logger", Log)
    LineKeeper(ACCOUNTS).observe(event)
    assert written == ([] if line is None else [line])
