"""sipagent as an extension of Kamailio: calls in and out by way of it, with telephones that are extensions, too."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from interop.baresip import Baresip
from interop.kamailio import Kamailio, Transport, is_installed
from interop.matrix import cell
from interop.phone import CarelessPhone, Extension, PjsuaPhone, are_installed
from interop.sound import AUDIBLE_DBFS, RATE, level
from interop.story import (
    EIGHT_BITS,
    PASSWORD,
    SILENCE,
    USER,
    Call,
    Voices,
    ask,
    extension,
    hear_each_other,
    hold_and_resume,
    judge_ears,
    judge_voice,
    press_and_listen,
)
from program import Server

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not (is_installed() and are_installed()), reason="no Kamailio or .venv-interop: make interop"),
]

PHONES = {"baresip": Baresip, "pjsua2": PjsuaPhone}

USERS = {USER: PASSWORD, "200": "another", "300": "a third"}


EARLY = 10
"""Packets of 20 ms that a callee may send before its answer has come by way of the PBX."""


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with Kamailio(tmp_path_factory.mktemp("pbx"), USERS) as pbx:
        yield pbx


@pytest.fixture(scope="module", params=["udp", "tcp", "tls", "wss"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """sipagent's own to the PBX."""
    transport: Transport = request.param
    return transport


@pytest.fixture(scope="module")
def server(pbx: Kamailio, transport: Transport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), extension(pbx, transport)) as server:
        server.wait_for(lambda entry: entry["event"] == "registered", timeout_s=10)
        yield server


def each(column: str) -> pytest.MarkDecorator:
    """For every telephone, filling this column of its own row and of Kamailio's."""
    rows = [pytest.param(name, marks=[cell(name, column), cell("Kamailio", column)]) for name in PHONES]
    return pytest.mark.parametrize("name", rows)


def over(*transports: Transport) -> pytest.MarkDecorator:
    """Of sipagent's own transports to the PBX these alone."""
    return pytest.mark.parametrize("transport", transports, indirect=True, scope="module")


@pytest.fixture
def phone_at(pbx: Kamailio) -> Extension:
    return Extension(pbx, "200")


@each("call in")
def test_a_call_in(name: str, server: Server, voices: Voices, phone_at: Extension, folder: Path) -> None:
    call = Call(server)
    with PHONES[name](folder / name, voices.caller, extension=phone_at) as phone:
        phone.dial(phone_at.pbx.uri(USER))
        hear_each_other(call, phone, voices)


@each("call out")
def test_a_call_out(name: str, server: Server, voices: Voices, phone_at: Extension, folder: Path) -> None:
    with PHONES[name](folder / name, voices.caller, extension=phone_at, answers=True) as phone:
        call = Call(server)
        server.place_call("main", phone_at.user)
        phone.wait_until_up()
        hear_each_other(call, phone, voices, early=EARLY)


@pytest.mark.parametrize(
    ("name", "phone_transport"),
    [pytest.param(name, kind, marks=cell(name, "TLS")) for name, kind in product(PHONES, ["tls"])],
)
@over("tls")
def test_a_call_in_over_tls_on_both_sides(
    name: str, phone_transport: Transport, server: Server, voices: Voices, pbx: Kamailio, folder: Path
) -> None:
    call = Call(server)
    with PHONES[name](folder / name, voices.caller, extension=Extension(pbx, "200", phone_transport)) as phone:
        phone.dial(pbx.uri(USER, phone_transport))
        ask(call)
        phone.hang_up()
        phone.stop()
        judge_voice(call, phone.heard())


@each("hold")
@over("udp", "tls")
def test_hold_and_back(name: str, server: Server, phone_at: Extension, folder: Path) -> None:
    call = Call(server)
    with PHONES[name](folder / name, SILENCE, extension=phone_at) as phone:
        phone.dial(phone_at.pbx.uri(USER))
        call.wait_for("agent_started")
        hold_and_resume(phone, call)
        press_and_listen(phone, call)
        assert phone.receives()
        phone.hang_up()
        phone.stop()
        if isinstance(phone, PjsuaPhone):
            assert level(phone.heard()[-5 * RATE :]) > AUDIBLE_DBFS


@each("DTMF")
@over("udp")
def test_keys(name: str, server: Server, phone_at: Extension, folder: Path) -> None:
    with PHONES[name](folder / name, SILENCE, extension=phone_at, answers=True) as phone:
        call = Call(server)
        server.place_call("main", phone_at.user)
        phone.wait_until_up()
        call.wait_for("agent_started")
        press_and_listen(phone, call)
        phone.hang_up()
        phone.stop()
        judge_voice(call, phone.heard())


@cell("pjsua2", "DTMF")
@over("udp")
def test_keys_by_info(server: Server, phone_at: Extension, folder: Path) -> None:
    call = Call(server)
    with PjsuaPhone(folder / "phone", SILENCE, extension=phone_at) as phone:
        phone.dial(phone_at.pbx.uri(USER))
        call.wait_for("agent_started")
        phone.do("press_by_info", keys="4")
        call.wait_for("digit_pressed")
        call.wait_for("agent_said", is_cut=False)
        phone.hang_up()


@cell("pyVoIP", "call in")
@over("udp")
def test_the_careless_peer_calls_in(server: Server, voices: Voices, phone_at: Extension, folder: Path) -> None:
    """By way of the PBX its ACK comes from, it still has the wrong tag, and its BYE ignores Record-Route."""
    call = Call(server)
    with CarelessPhone(folder / "phone", voices.caller, extension=phone_at) as phone:
        phone.dial(USER)
        ask(call)
        phone.hang_up()
        assert call.wait_until_over()["reason"] == "bye"
        phone.stop()
        judge_ears(call, voices, likest=EIGHT_BITS)
        assert level(phone.heard()) > AUDIBLE_DBFS


@cell("pyVoIP", "call out")
@over("udp")
def test_the_careless_peer_is_called(server: Server, voices: Voices, phone_at: Extension, folder: Path) -> None:
    with CarelessPhone(folder / "phone", voices.caller, extension=phone_at) as phone:
        call = Call(server)
        server.place_call("main", phone_at.user)
        phone.wait_until_up()
        ask(call)
        phone.hang_up()
        call.wait_until_over()
        phone.stop()
        judge_ears(call, voices, likest=EIGHT_BITS)
        assert level(phone.heard()) > AUDIBLE_DBFS

