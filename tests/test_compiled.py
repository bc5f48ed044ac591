"""The compiled hot path does what its source does: the same worlds bit for bit, and its own tests."""

import ast
import os
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeAlias

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "compile.py"
COMPILED = ROOT / "build" / "compiled"

BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
NAMES: list[str] = BUILD["targets"]["wheel"]["hooks"]["custom"]["include"]

TESTED = ("tests/rtp", "tests/call", "tests/realtime", "tests/sdp", "tests/sip")
FAKES = ("tests/call/test_listener.py", "tests/call/test_speaker.py", "tests/call/test_tool_calls.py")
"""They give a session where a link to one is asked for, or put a method in another's place: what is compiled takes its
types at their word, and its methods stay."""

SEEDS = 24

Environment: TypeAlias = dict[str, str]

WHERE = """
from importlib import import_module
for name in {names}:
    print(import_module(name[:-3].replace("/", ".")).__file__)
"""

WORLDS = """
from sim.test_long_call import make_scenario
from sim.world import World
for world in (*map(World, range({seeds})), World(7, make_scenario(60.0))):
    world.run()
    print(world, world.digest.hexdigest(), world.agent.facts)
"""


def environment_of(package: Path) -> Environment:
    """With which Python imports sipagent from there, wherever it is run."""
    path = os.pathsep.join((str(package), str(ROOT / "tests")))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "1"}


def run(*arguments: str, environment: Environment | None = None) -> str:
    """Run Python and return what it printed, errors among it when it fails."""
    command = [sys.executable, *arguments]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def compiled() -> Environment:
    """It is compiled once for all, and only if what it is made of has changed."""
    said = run(str(SCRIPT))
    if not COMPILED.is_dir():
        pytest.skip(said.strip())
    return environment_of(COMPILED)


needs_a_minute = pytest.mark.timeout(900)
"""To compile it, and more on a machine that is busy."""


@needs_a_minute
def test_what_the_list_names_is_compiled_and_nothing_is_beside_the_sources(compiled: Environment) -> None:
    for file in map(Path, run("-c", WHERE.format(names=NAMES), environment=compiled).splitlines()):
        assert file.is_relative_to(COMPILED), file
        assert file.suffix in (".so", ".pyd"), file
    assert [*(ROOT / "sipagent").rglob("*.so"), *ROOT.glob("*.so")] == []


@needs_a_minute
def test_it_says_what_it_is(compiled: Environment) -> None:
    question = "from sipagent.compiled import is_compiled; print(is_compiled())"
    assert run("-c", question, environment=compiled) == "True\n"
    assert run("-c", question, environment=environment_of(ROOT)) == "False\n"


@needs_a_minute
def test_the_same_seeds_give_the_same_calls_bit_for_bit(compiled: Environment) -> None:
    program = WORLDS.format(seeds=SEEDS)
    told = run("-c", program, environment=compiled)
    assert len(told.splitlines()) == SEEDS + 1
    assert told == run("-c", program, environment=environment_of(ROOT))


@needs_a_minute
def test_the_tests_of_the_source_hold(compiled: Environment) -> None:
    said = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTED, *(f"--ignore={name}" for name in FAKES),
        environment=compiled,
    )  # fmt: skip
    assert " passed" in said.splitlines()[-1]


def test_no_class_is_compiled_that_mypyc_would_make_another() -> None:
    """What stands beside a class's bases (msgspec's tags and limits) is lost, and nobody is told."""
    classes = [
        (name, node)
        for name in NAMES
        for node in ast.walk(ast.parse((ROOT / name).read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert len(classes) > len(NAMES) / 2
    assert [
        (name, node.name) for name, node in classes if node.keywords or "Struct" in map(ast.unparse, node.bases)
    ] == []


def test_what_is_not_of_these_sources_is_thrown_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = load_script()
    monkeypatch.setattr(script, "RESULT", tmp_path / "compiled")
    for made_of, is_kept in ((script.digest_sources(), True), ("something else", False)):
        script.RESULT.mkdir(exist_ok=True)
        (script.RESULT / script.DIGEST).write_text(made_of)
        script.forget_stale()
        assert script.RESULT.exists() is is_kept


def test_who_has_no_compiler_is_told_what_that_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert load_script().find_obstacle() == "there is no C compiler (no-such-compiler)"


def load_script() -> Any:
    spec = spec_from_file_location("compile_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
