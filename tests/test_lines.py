"""Lines: who may call, as the configuration says it."""

from ipaddress import ip_network
from pathlib import Path

import numpy as np
import pytest

from sipagent.agent.tools import CallInfo
from sipagent.aio.engine import Engine
from sipagent.audio.g711 import Pcm
from sipagent.audio.tones import sine
from sipagent.audio.wav import write_wav
from sipagent.call.settings import CallSettings
from sipagent.config import ConfigFileError, load
from sipagent.errors import SipagentError
from sipagent.lines import LOOPBACK, PRIVATE, make_account, make_guard, make_lines, make_targets, open_keys
from sipagent.sip.guard import SCANNERS, GuardSettings, Rule
from sipagent.sip.session_timer import SessionTimerSettings
from sipagent.sip.targets import Targets
from sipagent.sip.uri import Uri

FILE = """
lines:
%s
agents: {agent: {engine: model, instructions: Be brief.}}
engines: {model: {url: local}}
"""
NEARBY = (*LOOPBACK, *PRIVATE)


def guard_of(folder: Path, *lines: str, head: str = "", trusts_itself: bool = False) -> GuardSettings:
    text = "\n".join(f"  - {{name: line{number}, agent: agent{line}}}" for number, line in enumerate(lines))
    path = folder / "config.yaml"
    path.write_text(head + FILE % text)
    return make_guard(load(path, {}), trusts_itself=trusts_itself)


@pytest.mark.parametrize(
    ("line", "networks", "users"),
    [
        ("", NEARBY, {}),
        (", peers: [192.0.2.0/24, 2001:db8::1]", (ip_network("192.0.2.0/24"), ip_network("2001:db8::1")), {}),
        (", callers: {alice: wonderland, bob: ''}", (), {"alice": "wonderland"}),
        (", callers: {bob: ''}", (), {}),
        (", peers: [192.0.2.1], callers: {alice: a}", (ip_network("192.0.2.1"),), {"alice": "a"}),
        (", domain: pbx.example.com", NEARBY, {}),
        (", domain: '192.0.2.7:5070', outbound_proxy: 192.0.2.8, peers: [192.0.2.9]",
         (ip_network("192.0.2.7"), ip_network("192.0.2.8"), ip_network("192.0.2.9")), {}),
    ],
)  # fmt: skip
def test_who_may_call_a_line(tmp_path: Path, line: str, networks: tuple[object, ...], users: dict[str, str]) -> None:
    (rule,) = guard_of(tmp_path, line).rules
    assert rule == Rule(line="line0", networks=networks, users=users)  # type: ignore[arg-type]


def test_the_contact_of_a_line_opens_the_door_only_where_a_secret_went_into_it(tmp_path: Path) -> None:
    rules = guard_of(tmp_path, ", domain: a.b, user: u, password: p", ", domain: a.b, user: u").rules
    config = load(tmp_path / "config.yaml", {})
    assert [rule.contact_user for rule in rules] == [make_account(config.lines[0]).contact_user, ""]
    assert len(rules[0].contact_user) >= 18


@pytest.mark.parametrize(
    ("line", "listen", "is_open"),
    [
        ("", "udp:0.0.0.0:5060", False),
        (", srtp: 'off'", "udp:0.0.0.0:5060", False),
        (", srtp: optional", "udp:0.0.0.0:5060", True),
        (", srtp: required", "tls:0.0.0.0:5061", False),
        (", srtp: required, domain: a.b", "tls:0.0.0.0:5061", True),
        (", srtp: required, domain: a.b, transport: tcp", "udp:0.0.0.0:5060", True),
        (", srtp: required, domain: a.b, transport: tls", "udp:0.0.0.0:5060", False),
        (", srtp: required, domain: a.b, transport: wss", "udp:0.0.0.0:5060", False),
    ],
)
def test_lines_whose_keys_can_be_read_on_the_way(tmp_path: Path, line: str, listen: str, is_open: bool) -> None:
    path = tmp_path / "config.yaml"
    (tmp_path / "c.pem").touch()
    head = f"sip: {{listen: ['{listen}'], tls: {{certificate: c.pem}}}}\n"
    path.write_text(head + FILE % f"  - {{name: line0, agent: agent{line}}}")
    config = load(path, {})
    assert open_keys(config) == (["line0"] if is_open else [])
    assert make_lines(config, {"model": Engine("ws://x", {}, 1.0)})["line0"].srtp == config.lines[0].srtp


def test_this_machine_is_let_in_for_the_demonstration(tmp_path: Path) -> None:
    rules = guard_of(tmp_path, ", peers: [192.0.2.0/24]", ", callers: {alice: a}", trusts_itself=True).rules
    assert rules[-1] == Rule(line="line0", networks=LOOPBACK)
    assert len(rules) == 3


def test_defaults(tmp_path: Path) -> None:
    settings = guard_of(tmp_path, "")
    assert settings == GuardSettings(rules=settings.rules)
    assert settings.scanners == SCANNERS


def test_as_it_is_set(tmp_path: Path) -> None:
    bans = "ban_after: 3, ban_window_s: 4, ban_s: 5, scanners: [x], pin_source: true"
    head = f"sip: {{safety: {{strangers: ignore, realm: r, rate: 2, total_rate: 20, {bans}}}}}\n"
    settings = guard_of(tmp_path, "", head=head)
    assert settings == GuardSettings(
        rules=settings.rules,
        strangers="ignore",
        realm="r",
        rate_per_s=2.0,
        rate_burst=10,
        strangers_per_s=20.0,
        strangers_burst=40,
        ban_after=3,
        ban_window_s=4.0,
        ban_s=5.0,
        scanners=("x",),
        pins_source=True,
    )


def targets_of(folder: Path, line: str) -> Targets:
    guard_of(folder, line)
    (config,) = load(folder / "config.yaml", {}).lines
    return make_targets(config, config.allow_out)


@pytest.mark.parametrize(
    ("line", "uri", "allowed"),
    [
        ("", "sip:200@pbx.example.com", True),
        ("", "sip:200@192.0.2.1", False),
        ("", "sip:+4930123456@pbx.example.com", False),
        (", outbound_proxy: 192.0.2.1", "sip:200@192.0.2.1", True),
        (", allow_out: ['+49*']", "sip:+4930123456@pbx.example.com", True),
        (", allow_out: ['+49*']", "sip:200@pbx.example.com", False),
        (", allow_out: ['+49*'], country: '49'", "sip:030123456@pbx.example.com", True),
        (", allow_out: ['*']", "sip:+19005551234@pbx.example.com", False),
        (", allow_out: ['*'], allow_premium: true", "sip:+19005551234@pbx.example.com", True),
        (", allow_out: ['*'], allow_premium: true, deny: ['+1900*']", "sip:+19005551234@pbx.example.com", False),
        (", allow_out: ['*'], deny: ['200']", "sip:+19005551234@pbx.example.com", False),
        (", allow_out: ['*'], deny: ['200']", "sip:200@pbx.example.com", False),
        (", allow_out: ['+1*'], country: '1'", "sip:01112125551234@pbx.example.com", True),
    ],
)
def test_whom_a_line_may_call(tmp_path: Path, line: str, uri: str, allowed: bool) -> None:
    assert targets_of(tmp_path, f", domain: pbx.example.com{line}").allows(Uri.parse(uri)) is allowed


def test_a_redirection_leads_only_where_a_call_may_go(tmp_path: Path) -> None:
    guard_of(tmp_path, ", domain: pbx.example.com, redirects: 1")
    may_call = make_account(load(tmp_path / "config.yaml", {}).lines[0]).may_call
    assert may_call is not None
    assert may_call(Uri.parse("sip:200@pbx.example.com"))
    assert not may_call(Uri.parse("sip:+19005551234@pbx.example.com"))


def test_session_timers_and_redirects_of_a_line(tmp_path: Path) -> None:
    guard_of(
        tmp_path,
        ", domain: a.b, session_timer: 'on', session_expires_s: 600, session_min_s: 120, redirects: 2",
        ", domain: a.b",
    )
    chosen, default = map(make_account, load(tmp_path / "config.yaml", {}).lines)
    assert (chosen.session_timer, chosen.redirects) == (SessionTimerSettings("on", 600, 120), 2)
    assert (default.session_timer, default.redirects) == (SessionTimerSettings("accept", 1800, 90), 0)
    assert chosen.may_call is not None
    followed = ["sip:200@a.b", "sip:200@elsewhere.example", "sip:0900123456@a.b", "sip:200@a.b;maddr=192.0.2.1"]
    assert [chosen.may_call(Uri.parse(uri)) for uri in followed] == [True, False, False, False]


def call_of(folder: Path, agent: str) -> CallSettings:
    """What calls are like with an agent of these further settings."""
    path = folder / "config.yaml"
    agents = f"agents: {{agent: {{engine: model, instructions: Be brief., {agent}}}}}"
    lines = FILE.replace("agents: {agent: {engine: model, instructions: Be brief.}}", agents)
    path.write_text(lines % "  - {name: main, agent: agent}")
    line = make_lines(load(path, {}), {"model": Engine("ws://127.0.0.1:9", {})})["main"]
    return line.settings(CallInfo("1"), None)


def test_by_default_nothing_is_heard_beside_the_agent(tmp_path: Path) -> None:
    call = call_of(tmp_path, "greeting: Greet.")
    assert call.conversation.ambience is None
    assert call.conversation.greeting == "Greet."
    assert not call.recording_tone


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        ("greeting: Greet., ", 'Say first, word for word: "We record." Then: Greet.'),
        ("", 'Say first, word for word: "We record." Say nothing else.'),
    ],
)
def test_an_announcement_in_words_comes_before_the_greeting(tmp_path: Path, greeting: str, expected: str) -> None:
    conversation = call_of(tmp_path, f"{greeting}announcement: We record.").conversation
    assert conversation.greeting == expected
    assert conversation.ambience is None


def test_files_beside_the_configuration_are_read_and_converted(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds/we-record.wav").write_bytes(write_wav(44_100, sine(440, 500, rate=44_100)))
    agent = "greeting: Greet., announcement: sounds/we-record.wav, record: true, record_tone: true, "
    call = call_of(tmp_path, agent + "thinking: {sound: sounds/we-record.wav, level_dbfs: -30, after_ms: 500}")
    assert (call.records, call.recording_tone) == (True, True)
    assert call.conversation.greeting == "Greet."
    ambience = call.conversation.ambience
    assert ambience is not None
    assert ambience.announcement is not None
    assert ambience.thinking is not None
    assert ambience.after_ms == 500
    for rate in (8_000, 24_000):
        assert len(ambience.announcement.at(rate)) == pytest.approx(rate / 2, abs=1)
        assert level_dbfs(ambience.thinking.at(rate)) == pytest.approx(-30.0, abs=0.3)


def test_noise_under_the_thinking(tmp_path: Path) -> None:
    ambience = call_of(tmp_path, "thinking: {sound: noise}").conversation.ambience
    assert ambience is not None
    assert ambience.announcement is None
    assert ambience.thinking is not None
    assert level_dbfs(ambience.thinking.at(8_000)) == pytest.approx(-50.0, abs=0.3)


def test_sounds_that_are_missing_or_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"announcement.*there is no .*gone\.wav"):
        call_of(tmp_path, "announcement: gone.wav")
    with pytest.raises(ConfigFileError, match=r"thinking\.sound.*none, noise, typing or a WAV file"):
        call_of(tmp_path, "thinking: {sound: music}")
    with pytest.raises(ConfigFileError, match="announcement"):
        call_of(tmp_path, "announcement: ''")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(SipagentError, match=r"text\.wav: not a WAV file"):
        call_of(tmp_path, "announcement: text.wav")


def level_dbfs(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean((pcm / 32_768.0) ** 2)))


def test_the_tools_for_keys_are_the_calls_own(tmp_path: Path) -> None:
    assert call_of(tmp_path, "tools: [hang_up]").conversation.key_tools == frozenset()
    call = call_of(tmp_path, "tools: [hang_up, send_digits, collect_digits]")
    assert call.conversation.key_tools == {"send_digits", "collect_digits"}
    names = [definition["name"] for definition in call.conversation.session.tools]
    assert names == ["hang_up", "send_digits", "collect_digits"]
