"""The documents keep up with the program: a setting or a command that nobody described fails here.

So does a file, a name or a test that a page names and that is gone.
"""

import ast
import re
import tomllib
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import NODEFAULT, Struct
from msgspec import inspect as kinds
from msgspec.structs import fields

from sipagent.cli import _parser
from sipagent.config import Config, load
from sipagent.realtime.audio_delta import AUDIO_DELTA
from sipagent.realtime.local.server import EVENTS
from sipagent.realtime.protocol import IGNORED
from sipagent.realtime.session import READY_HANDLERS, SETUP_HANDLERS

ROOT = Path(__file__).parents[1]
SETTING = re.compile(r"^( *)#(?=\w+:)", re.MULTILINE)
"""A setting that is shown at its default: ``#key: value``, where prose has a space after its sign."""


@pytest.fixture(scope="module")
def text() -> str:
    """``config.yaml`` with every setting it shows switched on."""
    return SETTING.sub(r"\1", (ROOT / "config.yaml").read_text("utf-8"))


def keys(kind: kinds.Type, path: str = "") -> Iterator[str]:
    """Yield the path of every setting, with ``*`` for a name or a number."""
    match kind:
        case kinds.StructType():
            for field in kind.fields:
                yield from keys(field.type, f"{path}.{field.name}".lstrip("."))
        case kinds.DictType():
            yield from keys(kind.value_type, f"{path}.*")
        case kinds.VarTupleType(item_type=kinds.StructType()):
            yield from keys(kind.item_type, f"{path}.*")
        case kinds.Metadata():
            yield from keys(kind.type, path)
        case kinds.UnionType():
            yield from keys(next(each for each in kind.types if not isinstance(each, kinds.NoneType)), path)
        case _:
            yield path


MAPS = {
    "agents", "engines", "engines.*.headers", "hours", "lines.*.callers",
    "lines.*.routes.*.header", "agents.*.transfer.destinations", "tools",
    "tools.*.parameters", "tools.*.headers", "mcp", "mcp.*.env", "mcp.*.headers",
}  # fmt: skip
"""Where names are the user's own."""


FREE = {"tools.*.body"}
"""Where anything may stand."""


def paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of everything in a file that is at the end of a branch."""
    match value:
        case _ if path in FREE:
            yield path
        case dict() if path in MAPS:
            for child in value.values():
                yield from paths(child, f"{path}.*")
        case dict():
            for key, child in value.items():
                yield from paths(child, f"{path}.{key}".lstrip("."))
        case [dict(), *_]:
            for child in value:
                yield from paths(child, f"{path}.*")
        case _:
            yield path


def defaults(section: Struct) -> dict[str, object]:
    """Return the default of every setting of a section that has one that means something by itself."""
    return {field.name: field.default for field in fields(section) if field.default not in (NODEFAULT, None, ())}


def test_config_yaml_shows_every_setting_and_no_other(text: str) -> None:
    assert set(paths(yaml.safe_load(text))) == set(keys(kinds.type_info(Config)))


def test_config_yaml_is_valid_as_it_is() -> None:
    load(ROOT / "config.yaml", {})


@pytest.fixture
def file(text: str, tmp_path: Path) -> Path:
    """That text as a file, with the files that it names around it."""
    (tmp_path / "config.yaml").write_text(text, "utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "tls").mkdir()
    for name in re.findall(r"tls/[a-z.]+", text):
        (tmp_path / name).touch()
    return tmp_path / "config.yaml"


def test_config_yaml_is_valid_with_every_setting_switched_on(file: Path) -> None:
    load(file, {})


def test_config_yaml_shows_settings_at_their_defaults(file: Path) -> None:
    shown = load(file, {})
    agent, engine = shown.agents["receptionist"], shown.engines["openai"]
    sections: list[Struct] = [
        shown.sip, shown.sip.tls, shown.sip.safety, shown.rtp, shown.lines[0], agent, agent.turn, agent.barge_in,
        agent.transfer, agent.thinking, agent.hold, engine, shown.control, shown.log, shown.approval,
    ]  # fmt: skip
    for section in sections:
        for name, value in defaults(section).items():
            assert name in ("tools", "instructions") or getattr(section, name) == value, name


def test_every_line_of_config_yaml_is_explained_or_plain() -> None:
    for number, line in enumerate((ROOT / "config.yaml").read_text("utf-8").splitlines(), 1):
        assert len(line) <= 120, number
        assert line == line.rstrip(), number


def test_the_tree_of_the_architecture_shows_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    tree = page.partition("## The tree")[2].partition("```")[2].partition("```")[0]
    words = set(re.findall(r"\w+", tree))
    modules = {path.stem for path in (ROOT / "sipagent").rglob("*.py")} - {"__init__", "__main__"}
    assert sorted(modules - words) == []


def test_the_import_rule_of_the_architecture_is_the_one_that_is_held() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rule = page.partition("## The import rule")[2].partition("```")[2].partition("```")[0]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in settings["contracts"] if each.get("containers") == ["sipagent"])
    assert " ".join(rule.split()).split(" → ") == layers[1:]


def verbs(parser: ArgumentParser) -> Iterator[tuple[str, ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            yield from action.choices.items()


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    found = dict(verbs(_parser()))
    assert found
    assert [verb for verb in found if f"sipagent {verb}" not in readme] == []


def test_every_command_and_option_says_what_it_does() -> None:
    for verb, parser in verbs(_parser()):
        assert parser.description, verb
        mute: list[Any] = [action.dest for action in parser._actions if not action.help]
        assert mute == [], verb


def test_every_command_of_the_makefile_is_in_its_help() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^([a-z]+):.* ## ", makefile, re.MULTILINE))


# What the pages of conformance say of code and tests.

PAGES = pytest.mark.parametrize("page", ["rfc.md", "realtime.md"])
QUOTED = re.compile(r"`([^`]+)`")
REFERENCE = re.compile(r"((?:sipagent|tests)/[\w/]+\.\w+)(?:::([\w:]+)|:([\w.]+))?")
"""A file, and after ``::`` a test or its class, after ``:`` a name of the code's."""
STATUS = re.compile(r"(yes|partly|not yet|no)(?:: .+)?")
CITED = re.compile(r":rfc:`(\d+)|RFC (\d+)")
EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)*")

SERVER_EVENTS = 46
"""What the SDK of the API knows."""
PITFALLS = 23

# The telephone network's list: what it holds is fixed, what we make of it is on the page.

MUSTS = 17
ATTACKS = 20
SHOULDS = {
    "3261", "3262", "3263", "3311", "3323", "3325", "3326", "3327", "3389", "3515", "3608", "3711", "3891", "3892",
    "4028", "4568", "5589", "5626", "5627", "5806", "6665", "7044", "7433", "7616", "8760",
}  # fmt: skip
SYSTEMS = {
    "3CX", "AI bridges", "Asterisk", "AudioCodes, Oracle, Sonus", "Cisco", "FreePBX", "FreeSWITCH", "Genesys, Cisco",
    "Telnyx", "Twilio", "VoIP.ms", "carriers", "hold",
}  # fmt: skip
FAULTS = {
    "100,000 calls", "RTP silence", "SIGTERM", "TCP or TLS reset", "kill -9", "media move", "network down for 30 s",
    "registrar restart, 503, DNS change", "scanners, slow bytes, 64 KiB messages", "twice the capacity",
}  # fmt: skip
TRAP = re.compile(
    r"test_(3cx|asterisk|audiocodes|bridges|carriers|cisco|diago|freeswitch|genesys|oracle|telnyx|twilio|voip)_"
)
"""A test named for the system whose ways it is about."""


def read_page(page: str) -> str:
    return (ROOT / "docs" / page).read_text("utf-8")


def references(text: str) -> list[str]:
    """Return everything in backticks that names a file of the code or of the tests."""
    return [quoted for quoted in QUOTED.findall(text) if quoted.startswith(("sipagent/", "tests/")) or ".py" in quoted]


def tables(page: str) -> Iterator[list[dict[str, str]]]:
    """Yield the tables of a page, each as its rows by column."""
    for table in re.findall(r"(?:^\|.*\n)+", read_page(page), re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
        yield [dict(zip(head, row, strict=True)) for row in rows]


def rows_of(page: str, first: str) -> list[dict[str, str]]:
    """Return the rows of the only table whose first columns are named so."""
    (rows,) = (rows for rows in tables(page) if "|".join(rows[0]).startswith(first))
    return rows


def events_of(rows: list[dict[str, str]]) -> list[str]:
    """Return the events that the rows are about."""
    return [event for row in rows for event in QUOTED.findall(row["event"]) if EVENT.fullmatch(event)]


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Return every name that a file defines at its top or in a class there, the latter with a dot."""
    return frozenset(_names(ast.parse(path.read_text("utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.ClassDef(name=name, body=inner):
                yield prefix + name
                yield from _names(inner, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.Assign(targets=targets):
                yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name


def is_there(reference: str) -> bool:
    match = REFERENCE.fullmatch(reference)
    if match is None or not (ROOT / match[1]).is_file():
        return False
    test, name = match[2], match[3]
    if test is not None and not re.search(r"(?:^|::)(?:test_\w+|Test\w+)$", test):
        return False
    wanted = test.replace("::", ".") if test is not None else name
    return wanted is None or wanted in defined_in(ROOT / match[1])


@PAGES
def test_every_file_name_and_test_of_a_page_is_there(page: str) -> None:
    found = references(read_page(page))
    assert len(found) > 100
    assert [reference for reference in found if not is_there(reference)] == []


@PAGES
def test_what_a_page_claims_is_held_by_code_and_by_a_test(page: str) -> None:
    rows = [row for table in tables(page) for row in table if "status" in row]
    assert len(rows) > 20
    for row in rows:
        status = STATUS.fullmatch(row["status"])
        assert status is not None, row
        if status[1] in ("yes", "partly") and "test" in row:
            assert any(reference.startswith("sipagent/") for reference in references(row["code"])), row
            assert any("::" in reference for reference in references(row["test"])), row


def test_every_rfc_that_the_code_cites_has_its_place() -> None:
    page = read_page("rfc.md")
    sources = (ROOT / "sipagent").rglob("*.py")
    cited = {one or other for path in sources for one, other in CITED.findall(path.read_text("utf-8"))}
    assert cited
    assert sorted(number for number in cited if f"RFC {number}" not in page) == []


def test_every_client_event_has_its_row() -> None:
    assert sorted(events_of(rows_of("realtime.md", "event|what we do"))) == sorted(EVENTS)


def test_every_server_event_has_its_row() -> None:
    events = events_of(rows_of("realtime.md", "event|client"))
    handled = {*SETUP_HANDLERS, *READY_HANDLERS, AUDIO_DELTA, *IGNORED}
    assert len(set(events)) == len(events)
    assert handled <= set(events)
    assert len(set(events) - {"ping"}) == SERVER_EVENTS


def test_every_pitfall_has_its_row() -> None:
    assert [int(row["#"]) for row in rows_of("realtime.md", "#|pitfall")] == list(range(1, PITFALLS + 1))


def test_every_must_has_its_row() -> None:
    assert [row["must"] for row in rows_of("rfc.md", "must|")] == [f"M{number}" for number in range(1, MUSTS + 1)]


def test_every_should_has_its_row() -> None:
    names = [row["should"] for row in rows_of("rfc.md", "should|")]
    assert {number for name in names for number in re.findall(r"\b\d{4}\b", name)} == SHOULDS
    assert "T.38" in names


def test_every_system_has_its_traps_and_every_trap_its_row() -> None:
    rows = rows_of("rfc.md", "system|trap|")
    assert {row["system"] for row in rows} == SYSTEMS
    cited = {reference for row in rows for reference in references(row["test"])}
    cited |= {reference for row in rows_of("rfc.md", "should|") for reference in references(row["test"])}
    files = ["tests/sip/test_traps.py", "tests/call/test_traps.py"]
    traps = [f"{file}::{name}" for file in files for name in defined_in(ROOT / file) if TRAP.match(name)]
    assert len(traps) > 40
    assert sorted(set(traps) - cited) == []


def test_every_attack_has_its_row() -> None:
    assert [int(row["attack"]) for row in rows_of("rfc.md", "attack|")] == list(range(1, ATTACKS + 1))


def test_every_fault_has_its_row() -> None:
    assert {row["fault"] for row in rows_of("rfc.md", "fault|")} == FAULTS


def test_what_the_readme_says_of_make_is_so() -> None:
    makefile, readme = ((ROOT / name).read_text("utf-8") for name in ("Makefile", "README.md"))
    named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", readme))
    assert named
    assert sorted(named - set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))) == []
