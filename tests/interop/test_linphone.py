"""linphone and sipagent, by way of Kamailio: a call, hold, keys and a transfer, judged by sipagent's log."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from interop import kamailio, linphone
from interop.kamailio import Kamailio
from interop.linphone import Linphone
from interop.matrix import cell
from interop.phone import Extension, PjsuaPhone, are_installed
from interop.story import PASSWORD, SILENCE, USER, Call, extension, hold_and_resume
from program import Server

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not linphone.is_installed(), reason="linphone is not installed"),
    pytest.mark.skipif(not (kamailio.is_installed() and are_installed()), reason="no Kamailio or .venv-interop"),
]

USERS = {USER: PASSWORD, "200": "another", "300": "a third"}


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with Kamailio(tmp_path_factory.mktemp("pbx"), USERS) as pbx:
        yield pbx


@pytest.fixture(scope="module")
def server(pbx: Kamailio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), extension(pbx)) as server:
        server.wait_for(lambda entry: entry["event"] == "registered", timeout_s=10)
        yield server


@pytest.fixture
def phone(folder: Path) -> Iterator[Linphone]:
    with Linphone(folder / "linphone") as phone:
        yield phone


@cell("linphone", "call in")
def test_it_calls_in(phone: Linphone, server: Server, pbx: Kamailio) -> None:
    call = Call(server)
    phone.dial(pbx.uri(USER))
    call.wait_for("agent_said", is_cut=False)
    phone.hang_up()
    ended = call.wait_until_over()
    assert ended["reason"] == "bye"
    assert ended["media"]["peer_fraction_lost"] in (0.0, None)


@cell("linphone", "hold", "DTMF")
def test_it_holds_and_presses_keys(phone: Linphone, server: Server, pbx: Kamailio) -> None:
    call = Call(server)
    phone.dial(pbx.uri(USER))
    call.wait_for("agent_started")
    hold_and_resume(phone, call)
    phone.press("4")
    call.wait_for("digit_pressed")
    phone.hang_up()
    assert call.wait_until_over()["reason"] == "bye"


@cell("linphone", "transfer")
def test_it_sends_the_agent_on(phone: Linphone, server: Server, pbx: Kamailio, folder: Path) -> None:
    call = Call(server)
    with PjsuaPhone(folder / "other", SILENCE, extension=Extension(pbx, "300"), answers=True) as other:
        phone.dial(pbx.uri(USER))
        call.wait_for("agent_started")
        phone.transfer(pbx.uri("300"))
        other.wait_until_up()
        other.hang_up()
        call.wait_until_over()
