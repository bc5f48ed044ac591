"""Calls that change hands at Kamailio: the agent sends its caller on, a telephone sends the agent on, or brings one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from interop.baresip import Baresip
from interop.kamailio import Kamailio, is_installed
from interop.matrix import cell
from interop.phone import Extension, PjsuaPhone, are_installed
from interop.sound import AUDIBLE_DBFS, level
from interop.story import PASSWORD, SILENCE, USER, Call, Voices, ask, extension, pause
from program import Server

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not (is_installed() and are_installed()), reason="no Kamailio or .venv-interop: make interop"),
]

PHONES = {"baresip": Baresip, "pjsua2": PjsuaPhone}

USERS = {USER: PASSWORD, "200": "another", "300": "a third"}
CALLER, OTHER = "200", "300"

TALK_S = 2.0
"""How long those who were joined listen to each other."""

EACH = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[cell(name, "transfer"), cell("Kamailio", "transfer")]) for name in PHONES]
)


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with Kamailio(tmp_path_factory.mktemp("pbx"), USERS) as pbx:
        yield pbx


@pytest.fixture(scope="module")
def server(pbx: Kamailio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = extension(pbx)
    destinations = {"destinations": {"the workshop": pbx.uri(OTHER)}}
    settings["agents"]["tested"] |= {"tools": ["hang_up", "transfer"], "transfer": destinations}
    with Server(tmp_path_factory.mktemp("server"), settings) as server:
        server.wait_for(lambda entry: entry["event"] == "registered", timeout_s=10)
        yield server


@pytest.fixture
def other(pbx: Kamailio, voices: Voices, folder: Path) -> Iterator[PjsuaPhone]:
    """Who takes the calls that change hands; it asks how you are."""
    with PjsuaPhone(folder / "other", voices.caller, extension=Extension(pbx, OTHER), answers=True) as other:
        yield other


@EACH
def test_the_agent_sends_its_caller_on(
    name: str, server: Server, pbx: Kamailio, other: PjsuaPhone, voices: Voices, folder: Path
) -> None:
    call = Call(server)
    with PHONES[name](folder / name, voices.leaver, extension=Extension(pbx, CALLER)) as phone:
        phone.dial(pbx.uri(USER))
        call.wait_for("transfer_started")
        other.wait_until_up()
        assert call.wait_for("transferred")["destination"] == "the workshop"
        call.wait_until_over()
        pause(TALK_S)
        other.hang_up()
        other.stop()
        assert level(other.heard()) > AUDIBLE_DBFS


@EACH
def test_a_telephone_sends_the_agent_on(
    name: str, server: Server, pbx: Kamailio, other: PjsuaPhone, voices: Voices, folder: Path
) -> None:
    call = Call(server)
    with PHONES[name](folder / name, SILENCE, extension=Extension(pbx, CALLER)) as phone:
        phone.dial(pbx.uri(USER))
        call.wait_for("agent_started")
        phone.transfer(pbx.uri(OTHER))
        other.wait_until_up()
        ask(call)
        other.hang_up()
        call.wait_until_over()
        other.stop()
        assert level(other.heard()) > AUDIBLE_DBFS


@cell("pjsua2", "transfer")
def test_a_telephone_that_has_asked_joins_the_agent_and_the_other(
    server: Server, pbx: Kamailio, other: PjsuaPhone, folder: Path
) -> None:
    """An attended transfer: the agent calls the other in place of the telephone, by an INVITE with Replaces."""
    call = Call(server)
    with PjsuaPhone(folder / "phone", SILENCE, extension=Extension(pbx, CALLER)) as phone:
        first = phone.dial(pbx.uri(USER))
        call.wait_for("agent_started")
        phone.hold(first)
        call.wait_for("held_by_peer", is_held=True)
        second = phone.dial(pbx.uri(OTHER))
        other.wait_until_up()
        phone.do("transfer_to_call", call=first, other=second)
        other.wait_for("replaced")
        phone.wait_for("transferred", is_final=True)
        ask(call)


@cell("pjsua2", "transfer")
def test_a_telephone_hands_its_caller_to_the_agent_it_talks_with(
    server: Server, pbx: Kamailio, other: PjsuaPhone, folder: Path
) -> None:
    """The other way about: the caller calls the agent in place of the telephone that had asked it, with Replaces."""
    call = Call(server)
    with PjsuaPhone(folder / "phone", SILENCE, extension=Extension(pbx, CALLER)) as phone:
        first = phone.dial(pbx.uri(OTHER))
        other.wait_until_up()
        phone.hold(first)
        second = phone.dial(pbx.uri(USER))
        call.wait_for("agent_started")
        phone.do("transfer_to_call", call=first, other=second)
        other.wait_for("state", call=1, state="CONFIRMED")
        phone.wait_until_over(second)
        other.press("4", call=1)
        last = server.wait_for(
            lambda entry: entry["event"] == "agent_said" and entry["text"].startswith("You pressed 4."), timeout_s=20
        )
        assert last["call"]
