"""The settings: what a file means, and what is said when it means nothing."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.config import (
    Config,
    ConfigFileError,
    Endpoint,
    ListenAddress,
    PortRange,
    Secret,
    ToolReference,
    load,
)
from sipagent.rtp import srtp

MINIMAL = """\
lines:
  - {name: main, agent: receptionist}
agents:
  receptionist: {engine: openai, instructions: Be kind.}
engines:
  openai: {}
"""

Load = Callable[..., Config]
Problems = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    def load_text(text: str, **environ: str) -> Config:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file, environ)

    return load_text


@pytest.fixture
def problems(load_text: Load, tmp_path: Path) -> Problems:
    """Load a text that is wrong, and return its problems as ``line: path: message``."""

    def problems(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigFileError) as caught:
            load_text(text, **environ)
        assert str(caught.value) == "\n".join(map(str, caught.value.problems))
        return [str(problem).removeprefix(f"{tmp_path / 'config.yaml'}:") for problem in caught.value.problems]

    return problems


def test_defaults(load_text: Load, tmp_path: Path) -> None:
    config = load_text(MINIMAL)
    assert config.sip.listen == (ListenAddress("UDP", "0.0.0.0", 5060), ListenAddress("TCP", "0.0.0.0", 5060))
    assert config.rtp.ports.pairs == 5000
    assert config.lines[0].codecs == ("PCMU", "PCMA", "G722", "opus")
    agent = config.agents["receptionist"]
    assert agent.tools == (ToolReference("hang_up"),)
    assert (agent.turn.end_silence_ms, agent.barge_in.enabled, agent.greeting) == (500, True, None)
    assert config.engines["openai"].model == "gpt-realtime-2.1"
    assert config.recording.directory == tmp_path / "build/recordings"


def test_everything_given(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "desk.py").touch()
    text = """
    sip: {listen: ["udp:[::1]", "TCP:sip.example.com:0"], external_address: 203.0.113.7, max_calls: 1, user_agent: x,
          stun: stun.example.com}
    rtp: {ports: 1024-1025, external_address: "2001:db8::1"}
    lines: [{name: a, agent: b, codecs: [PCMA]}]
    agents:
      b:
        engine: c
        instructions: i
        greeting: g
        tools: [hang_up, desk.py:hours, some.module:function]
        turn: {detection: server, end_silence_ms: 200}
        barge_in: {enabled: false}
        max_call_s: 60
        record: true
    engines: {c: {url: "ws://127.0.0.1:9", transcription_model: null}}
    control: {listen: "[::1]:0"}
    log: {level: debug, format: json}
    recording: {directory: /tmp}
    """
    config = load_text(text)
    assert config.sip.listen == (ListenAddress("UDP", "::1", 5060), ListenAddress("TCP", "sip.example.com", 0))
    assert str(config.sip.stun) == "stun.example.com"
    assert config.rtp.ports == PortRange(1024, 1025)
    assert config.agents["b"].tools == (
        ToolReference("hang_up"),
        ToolReference("hours", file=tmp_path / "desk.py"),
        ToolReference("function", module="some.module"),
    )
    assert config.agents["b"].max_call_s == 60
    assert config.engines["c"].transcription_model is None
    assert config.control.listen == Endpoint("::1", 0)
    assert config.recording.directory == Path("/tmp")


def test_calls_by_number_or_as_many_as_have_ports(load_text: Load) -> None:
    assert load_text(MINIMAL).most_calls == 500
    assert load_text(MINIMAL + "sip: {max_calls: 7}").most_calls == 7
    config = load_text(MINIMAL + "sip: {max_calls: auto}\nrtp: {ports: 10000-10099}")
    assert (config.sip.max_calls, config.most_calls) == ("auto", 50)


def test_a_section_whose_keys_are_all_commented_out_is_at_its_defaults(load_text: Load) -> None:
    assert load_text(MINIMAL + "log:\n  #level: info\ncontrol:\n") == load_text(MINIMAL)


CALLS = "7: sip.max_calls: expected a whole number from 1 to 10000 or auto; got"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("sip: {max_cals: 3}", "7: sip.max_cals: unknown key; did you mean max_calls?"),
        ("zip: {}", "7: zip: unknown key; did you mean sip?"),
        ("log: {colour: 1}", "7: log.colour: unknown key; there is format, level"),
        ("sip: {max_calls: '3'}", CALLS + " the text '3'"),
        ("sip: {max_calls: car}", CALLS + " the text 'car'"),
        ("sip: {max_calls: 0}", CALLS + " the number 0"),
        ("sip: {max_calls: 1.5}", CALLS + " the number 1.5"),
        ("sip:\n  max_calls:", CALLS.replace("7:", "8:") + " nothing"),
        ("sip: {max_calls: yes}", CALLS + " true, which YAML"),
        ("sip: [1]", "7: sip: expected keys and values; got a list"),
        ("sip: {listen: []}", "7: sip.listen: expected a list of at least one; got a list"),
        ("sip: {listen: udp}", "7: sip.listen: expected a list of at least one; got the text 'udp'"),
        ("sip: {listen: [sctp:a:1]}", "7: sip.listen[0]: expected udp, tcp, tls, ws or wss, an address and a port"),
        ("sip: {listen: [wss:a]}", "7: sip.listen[0]: expected a port as well, such as wss:0.0.0.0:8443; got"),
        ("sip: {listen: [tcp:a:1, ws:a:1]}", "7: sip.listen: the same address twice"),
        ("sip: {listen: ['udp:0.0.0.0:99999']}", "7: sip.listen[0]: expected a port from 0 to 65535; got"),
        ("sip: {listen: ['udp:256.1.1.1:1']}", "7: sip.listen[0]: expected the name or the address of a host; got"),
        ("sip: {listen: [udp:a:1, udp:a:1]}", "7: sip.listen: the same address twice"),
        ("sip: {user_agent: ''}", "7: sip.user_agent: expected some text; got the text ''"),
        ("sip: {user_agent: 2026-11-20}", "7: sip.user_agent: expected some text; got a date"),
        ("sip: {user_agent: 2026-19-20}", "7: sip.user_agent: looks like a number or a date, and is none"),
        ("rtp: {ports: 10000}", "7: rtp.ports: expected text, in quotes if it looks like something else; got"),
        ("rtp: {ports: 10001-10001}", "7: rtp.ports: expected at least one even port and the odd one after it"),
        ("rtp: {ports: 10000-10099}", "7: rtp.ports: room for 50 calls, two ports each; sip.max_calls is 500"),
        ("control: {listen: 8080}", "7: control.listen: expected text, in quotes if it looks like something else; got"),
        ("control: {listen: localhost}", "7: control.listen: expected a host and a port, such as 127.0.0.1:8080; got"),
        ("log: {level: loud}", "7: log.level: expected debug or error or info or warning; got the text 'loud'"),
        ("sip: {listen: &a [*a]}", "7: sip.listen[0]: an alias of what it stands in"),
        ("log: {level: info, level: info}", "7: log.level: stands here twice, first in line 7"),
        ("{a: b}: c", "7: expected a name before the colon"),
        ("log: {level: info", "7: not YAML: "),
        ("log: !!python/name:os.system x", "7: not YAML: could not determine a constructor"),
        ("--- {}", "7: not YAML: but found another document"),
        ("log: '\x00'", "7: not YAML: special characters are not allowed"),
        ("log: " + "[" * 5000, "1: nested too deeply"),
    ],
)
def test_a_problem_names_its_line_its_path_and_what_was_expected(
    problems: Problems, change: str, expected: str
) -> None:
    found = problems(MINIMAL + change)
    assert found[0].startswith(expected), found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("agent: recep", "agent: rezep", "2: lines[0].agent: there is no agent of this name; did you mean rec"),
        ("engine: o", "engine: u", "4: agents.receptionist.engine: there is no engine of this name; did you m"),
        ("engine: openai, ", "", "4: agents.receptionist.engine: missing; expected some text"),
        ("kind.", "kind., greting: Hi", "4: agents.receptionist.greting: unknown key; did you mean greeting?"),
        ("kind.", "kind., language: no", "4: agents.receptionist.language: expected some text; got false, which YAML"),
        ("kind.", "kind., tools: [desk.py:f]", "4: agents.receptionist.tools[0]: expected a file that exists: there"),
        ("kind.", "kind., tools: [hangup]", "4: agents.receptionist.tools[0]: there is no tool of this name; did you"),
        ("openai: {}", "openai: {url: http://a}", "6: engines.openai.url: expected local, or an address after wss://"),
        ("openai: {}", "openai: {url: 'wss://[a'}", "6: engines.openai.url: expected local, or an address after"),
        ("openai: {}", "openai: {dialect: azure, model: m}", "6: engines.openai.url: missing; dialect azure has none"),
        ("openai: {}", "openai: {dialect: pcm, url: ws://a}", "6: engines.openai.model: missing; dialect pcm has none"),
        ("openai: {}", "openai: {dialect: live, rate: 8000}", "6: engines.openai.rate: expected one of 16000, 24000"),
        ("openai: {}", "openai: {rate: 11025}", "6: engines.openai.rate: expected one of 8000, 16000, 24000, 48000"),
        ("openai: {}", "openai: {dialect: beta}", "6: engines.openai.dialect: expected"),
        ("openai: {}", "openai: {lacks: [speech]}", "6: engines.openai.lacks[0]: expected"),
        ("ist}\n", "ist}\n  - {name: main, agent: receptionist}\n", "3: lines[1].name: the name of an earlier line"),
    ],
)
def test_a_problem_in_what_must_be_given(problems: Problems, old: str, new: str, expected: str) -> None:
    found = problems(MINIMAL.replace(old, new, 1))
    assert found[0].startswith(expected), found
    assert len(found) == 1


def test_an_empty_file_lacks_three_things(problems: Problems) -> None:
    assert problems("") == [
        "1: lines: missing; expected a list of at least one",
        "1: agents: missing; expected keys and values",
        "1: engines: missing; expected keys and values",
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    text = MINIMAL.replace("agent: receptionist", "agent: nobody").replace("{}", "{api_key: '${KEY}', modell: x}")
    found = problems(f"rtp: {{ports: x}}\n{text}log: {{level: loud}}\n")
    assert [each.split(": ")[:2] for each in found] == [
        ["1", "rtp.ports"],
        ["3", "lines[0].agent"],
        ["7", "engines.openai.api_key"],
        ["7", "engines.openai.modell"],
        ["8", "log.level"],
    ]


def test_a_reference_stands_for_a_variable(load_text: Load) -> None:
    text = MINIMAL.replace("kind.", "kind., description: '${WHO:-You} of ${PLACE}: $${X} $5'")
    assert load_text(text, PLACE="Rome").agents["receptionist"].description == "You of Rome: ${X} $5"
    assert load_text(text, WHO="", PLACE="").agents["receptionist"].description == "You of : ${X} $5"
    assert load_text(text, WHO="We", PLACE="${WHO}").agents["receptionist"].description == "We of ${WHO}: ${X} $5"


def test_what_a_variable_holds_is_not_read_as_yaml(load_text: Load) -> None:
    text = MINIMAL.replace("kind.", "kind., description: '${TEXT}'")
    assert load_text(text, TEXT="a: [b\n - 1 # {").agents["receptionist"].description == "a: [b\n - 1 # {"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("${KEY}", "the environment variable KEY is not set; ${KEY:-} makes it optional"),
        ("${9}", "expected ${NAME} or ${NAME:-text}; write $${ for ${ itself"),
        ("${A-b}", "expected ${NAME} or ${NAME:-text}; write $${ for ${ itself"),
        ("${A", "expected ${NAME} or ${NAME:-text}; write $${ for ${ itself"),
    ],
)
def test_a_reference_to_nothing(problems: Problems, reference: str, expected: str) -> None:
    found = problems(MINIMAL.replace("{}", f"{{api_key: '{reference}'}}"))
    assert found == [f"6: engines.openai.api_key: {expected}"]


@pytest.mark.parametrize("key", ["sip: {max_calls: '${X}'}", "rtp: {ports: '${X}'}", "log: {level: '${X}'}"])
def test_a_problem_never_quotes_the_environment(problems: Problems, key: str) -> None:
    assert "hunter2" not in problems(MINIMAL + key, X="hunter2")[0]


def test_a_problem_never_quotes_a_secret(problems: Problems) -> None:
    assert "12345" not in problems(MINIMAL.replace("{}", "{api_key: 12345}"))[0]


def test_a_secret_is_not_shown(load_text: Load) -> None:
    config = load_text(MINIMAL.replace("{}", "{api_key: '${KEY}'}"), KEY="hunter2")
    assert config.secrets == (Secret("hunter2"),)
    assert config.engines["openai"].api_key.reveal() == "hunter2"
    shown = f"{config} {config!r} {config.secrets[0]} {config.secrets[0]!r:>30} {config.engines}"
    assert "hunter2" not in shown
    assert "***" in shown
    with pytest.raises(TypeError):
        pickle.dumps(config.secrets[0])


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret("x")
    assert Secret("x") != "x"
    assert len({Secret("x"), Secret("x")}) == 1


def test_settings_are_frozen(load_text: Load) -> None:
    config = load_text(MINIMAL)
    with pytest.raises(AttributeError):
        config.sip.max_calls = 1  # type: ignore[misc]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"nowhere\.yaml:1: can't be read: No such file"):
        load(tmp_path / "nowhere.yaml", {})


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"a: b\nc: \xff\n")
    with pytest.raises(ConfigFileError, match=r":2: expected UTF-8"):
        load(file, {})


def test_a_file_that_is_no_settings_file_by_its_size(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigFileError, match="longer than"):
        load(file, {})


@pytest.mark.parametrize(("text", "pairs"), [("2000-2001", 1), ("2001-2004", 1), ("2000-2004", 2), ("2001-2005", 2)])
def test_a_call_takes_an_even_port_and_the_next(text: str, pairs: int) -> None:
    assert PortRange.parse(text).pairs == pairs


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ("{verify: 1}", "7: sip.tls.verify: expected true or false; got the number 1"),
        ("{cert: a}", "7: sip.tls.cert: unknown key; there is ca, certificate"),
        ("{certificate: 7}", "7: sip.tls.certificate: expected text, in quotes if it looks like something else"),
        ("{certificate: none.pem}", "7: sip.tls.certificate: there is no file {}/none.pem"),
        ("\n    certificate: here.pem\n    key: none.key", "10: sip.tls.key: there is no file {}/none.key"),
        ("{ca: .}", "7: sip.tls.ca: there is no file {}"),
        ("{client_certificate: none.pem}", "7: sip.tls.client_certificate: there is no file {}/none.pem"),
        ("{key: here.pem}", "7: sip.tls.key: it needs the certificate beside it"),
        ("{client_key: here.pem}", "7: sip.tls.client_key: it needs the client_certificate beside it"),
        ("{certificate: here.pem, require_client_certificate: true}", "7: sip.tls.require_client_certificate: it "),
    ],
)
def test_certificates(problems: Problems, tmp_path: Path, tls: str, problem: str) -> None:
    (tmp_path / "here.pem").touch()
    (told,) = problems(f"{MINIMAL}sip: {{tls: {tls}}}\n" if "\n" not in tls else f"{MINIMAL}sip:\n  tls:{tls}\n")
    assert told.startswith(problem.format(tmp_path))


@pytest.mark.parametrize("listener", ["tls:127.0.0.1", "wss:127.0.0.1:8443"])
def test_a_listener_that_needs_a_certificate(
    problems: Problems, load_text: Load, tmp_path: Path, listener: str
) -> None:
    text = f"{MINIMAL}sip:\n  listen: [{listener}]\n"
    full = listener if listener.count(":") == 2 else f"{listener}:5061"
    assert problems(text) == [f"7: sip.tls.certificate: missing; {full} needs one"]
    (tmp_path / "here.pem").touch()
    config = load_text(f"{text}  tls: {{certificate: here.pem}}\n  origins: [https://a.example]\n")
    assert config.sip.tls.certificate == tmp_path / "here.pem"
    assert (config.sip.tls.key, config.sip.tls.verify, config.sip.origins) == (None, True, ("https://a.example",))
    assert str(config.sip.listen[0]) == full


@pytest.mark.parametrize("text", ["udp:0.0.0.0:5060", "tcp:[::1]:0", "udp:sip.example.com:5062", "wss:a.b:8443"])
def test_a_listen_address_is_written_as_it_is_read(text: str) -> None:
    assert str(ListenAddress.parse(text)) == text


@given(st.text() | st.text("abclinesagt:{}[]-&*!|> '\"#${}\n\t%@0159", max_size=60))
def test_no_text_does_worse_than_have_problems(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigFileError):
        load(file, {})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('user: "100"', "2: lines[0].user: it needs the domain beside it"),
        ("password: secret", "2: lines[0].password: it needs the domain beside it"),
        ("domain: a.b, registrars: [c.d]", "2: lines[0].registrars: to register, the line needs a user"),
        (
            "peers: [192.0.2.1/24]",
            "2: lines[0].peers[0]: expected an address or a network such as 192.0.2.0/24; got the text '192.0.2.1/24'",
        ),
        (
            "domain: 'sip:pbx'",
            (
                "2: lines[0].domain: expected a domain or an address, with or without a port, such as pbx.example.com; "
                "got the text 'sip:pbx'"
            ),
        ),
    ],
)
def test_a_line_that_lacks_something(problems: Problems, line: str, problem: str) -> None:
    text = MINIMAL.replace("{name: main, agent: receptionist}", f"{{name: main, agent: receptionist, {line}}}")
    assert problems(text) == [problem]


def test_srtp_needs_its_extra(problems: Problems, load_text: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    text = MINIMAL.replace("agent: receptionist}", "agent: receptionist, srtp: required}")
    assert load_text(text).lines[0].srtp == "required"
    monkeypatch.setattr(srtp, "is_available", False)
    assert problems(text) == ["2: lines[0].srtp: it needs libsrtp: pip install 'sipagent[srtp]'"]


def test_a_caller_belongs_to_one_line(problems: Problems) -> None:
    first, second = (f"{{name: {name}, agent: receptionist, callers: {{bob: b, {name}: c}}}}" for name in ("x", "y"))
    text = MINIMAL.replace("{name: main, agent: receptionist}", f"{first}\n  - {second}")
    assert problems(text) == ["3: lines[1].callers.bob: a caller of line x, too"]


@pytest.mark.parametrize(
    ("safety", "problem"),
    [
        ("{strangers: challenge}", "7: sip.safety.strangers: expected ignore or refuse; got the text 'challenge'"),
        ("{ban_after: 0}", "7: sip.safety.ban_after: expected a whole number from 1 to 1000; got the number 0"),
        ("{rate: 0}", "7: sip.safety.rate: expected a number from 1 to 10000; got the number 0"),
        ("{bans: 1}", "7: sip.safety.bans: unknown key; did you mean ban_s?"),
        ("{scanners: ['']}", "7: sip.safety.scanners[0]: expected some text; got the text ''"),
    ],
)
def test_safety(problems: Problems, safety: str, problem: str) -> None:
    assert problems(f"{MINIMAL}sip: {{safety: {safety}}}\n") == [problem]


def test_a_password_does_not_show(load_text: Load) -> None:
    line = "{name: main, agent: receptionist, domain: a.b, user: u, password: topsecret, callers: {bob: alsosecret}}"
    config = load_text(MINIMAL.replace("{name: main, agent: receptionist}", line))
    assert "secret" not in repr(config)
    assert {secret.reveal() for secret in config.secrets} == {"topsecret", "alsosecret"}


@pytest.mark.parametrize(
    ("agent", "problem"),
    [
        ("greeting_by: hello.wav", "agents.agent.greeting_by: it needs its words beside it, as greeting"),
        ("greeting_by: softly", "expected instructions, exactly or a WAV file"),
    ],
)
def test_greetings(tmp_path: Path, agent: str, problem: str) -> None:
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    (tmp_path / "config.yaml").write_text(
        "lines: [{name: line, agent: agent}]\n"
        f"agents: {{agent: {{engine: model, instructions: Be brief., {agent}}}}}\n"
        "engines: {model: {url: local}}\n"
    )
    with pytest.raises(ConfigFileError) as caught:
        load(tmp_path / "config.yaml", {})
    assert problem in str(caught.value)


def test_workers(load_text: Load, problems: Problems) -> None:
    assert load_text(MINIMAL).worker_count == 1
    assert load_text(MINIMAL + "workers: 3").worker_count == 3
    assert load_text(MINIMAL + "workers: auto").worker_count == len(os.sched_getaffinity(0))
    for wrong in ("0", "257", "many", "1.5", "true"):
        (problem,) = problems(MINIMAL + f"workers: {wrong}")
        assert "7: workers: expected a whole number from 1 to 256 or auto; got" in problem


def test_workers_need_a_system_that_forks(load_text: Load, problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    load_text(MINIMAL + "workers: 1")
    assert problems(MINIMAL + "workers: 2") == ["7: workers: more than one needs a system whose processes can fork"]
