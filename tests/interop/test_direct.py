"""Telephones that call sipagent, no PBX between: baresip, PJSIP, and pyVoIP, which does much of it wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from interop.baresip import Baresip
from interop.matrix import cell
from interop.phone import CarelessPhone, PjsuaPhone, are_installed
from interop.sound import AUDIBLE_DBFS, RATE, SILENT_DBFS, level
from interop.story import (
    EIGHT_BITS,
    SILENCE,
    Call,
    Voices,
    ask,
    hear_each_other,
    hold_and_resume,
    judge_ears,
    judge_voice,
    press_and_listen,
)
from program import Server

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not are_installed(), reason="no .venv-interop: make interop"),
]

Transport: TypeAlias = Literal["udp", "tcp"]

PHONES = {"baresip": Baresip, "pjsua2": PjsuaPhone}

BOTH = [
    pytest.param(name, transport, marks=cell(name, "call in"), id=f"{name}-{transport}")
    for name in PHONES
    for transport in ("udp", "tcp")
]

def each(column: str) -> pytest.MarkDecorator:
    """For every telephone, filling this column."""
    return pytest.mark.parametrize("name", [pytest.param(name, marks=cell(name, column)) for name in PHONES])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), {"agents": {"tested": {"record": True}}}) as server:
        yield server


@pytest.mark.parametrize(("name", "transport"), BOTH)
def test_each_hears_the_other(name: str, transport: Transport, server: Server, voices: Voices, folder: Path) -> None:
    call = Call(server)
    with PHONES[name](folder / name, voices.caller, transport=transport) as phone:
        phone.dial(server.uri("agent", transport))
        hear_each_other(call, phone, voices)


@each("hold")
def test_hold_silences_the_agent_and_resuming_it_brings_it_back(name: str, server: Server, folder: Path) -> None:
    call = Call(server)
    with PHONES[name](folder / name, SILENCE) as phone:
        phone.dial(server.uri("agent"))
        call.wait_for("agent_started")
        hold_and_resume(phone, call)
        press_and_listen(phone, call)
        assert phone.receives()
        phone.hang_up()
        phone.stop()
        if isinstance(phone, PjsuaPhone):
            assert level(phone.heard()[-5 * RATE :]) > AUDIBLE_DBFS


@each("DTMF")
def test_keys_reach_the_agent(name: str, server: Server, folder: Path) -> None:
    call = Call(server)
    with PHONES[name](folder / name, SILENCE) as phone:
        phone.dial(server.uri("agent"))
        call.wait_for("agent_started")
        press_and_listen(phone, call)
        phone.hang_up()
        phone.stop()
        judge_voice(call, phone.heard())
        assert sum(entry["event"] == "digit_pressed" for entry in call.entries) == 1


def test_an_empty_reinvite_and_a_second_one_change_nothing(server: Server, voices: Voices, folder: Path) -> None:
    call = Call(server)
    with PjsuaPhone(folder / "phone", voices.caller) as phone:
        phone.dial(server.uri("agent"))
        call.wait_for("agent_started")
        for _ in range(2):
            phone.do("reinvite")
            phone.wait_for("media", status=1)
        ask(call)
        phone.hang_up()
        phone.stop()
        judge_voice(call, phone.heard())


@cell("pyVoIP", "call in")
def test_the_careless_peer_is_heard_and_hears(server: Server, voices: Voices, folder: Path) -> None:
    """Its ACK has the wrong To tag: none of ours ever is acknowledged, and the call is carried all the same."""
    call = Call(server)
    with CarelessPhone(folder / "phone", voices.caller, server=server.sip_port) as phone:
        phone.dial("agent")
        ask(call)
        phone.hang_up()
        assert call.wait_until_over()["reason"] == "bye"
        phone.stop()
        judge_ears(call, voices, likest=EIGHT_BITS)
        assert level(phone.heard()) > AUDIBLE_DBFS > SILENT_DBFS
