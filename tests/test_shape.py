"""The shape of the code: no file and no function is longer than a person reads in one go."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

PACKAGE = Path(__file__).parents[1] / "sipagent"
MAX_FILE = 500
MAX_FUNCTION = 60
SHOWN = 5

Measure = tuple[int, str]


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return {str(file.relative_to(PACKAGE.parent)): file.read_text("utf-8") for file in sorted(PACKAGE.rglob("*.py"))}


def functions(name: str, source: str) -> Iterator[Measure]:
    """Yield every function's lines, from its ``def`` to its last, with its place."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.end_lineno - node.lineno + 1, f"{name}:{node.lineno} {node.name}"


def show(title: str, measures: list[Measure], capsys: pytest.CaptureFixture[str]) -> None:
    lengths = [length for length, _ in measures]
    with capsys.disabled():
        print(f"\n{title}: {len(lengths)}, median {median(lengths):.0f} lines, the longest:")
        for length, name in sorted(measures, reverse=True)[:SHOWN]:
            print(f"  {length:4} {name}")


def test_files(sources: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    files = [(source.count("\n"), name) for name, source in sources.items()]
    show("files", files, capsys)
    assert [name for length, name in files if length > MAX_FILE] == []


def test_functions(sources: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    found = [measure for name, source in sources.items() for measure in functions(name, source)]
    show("functions", found, capsys)
    assert [name for length, name in found if length > MAX_FUNCTION] == []


def test_every_file_says_what_it_is(sources: dict[str, str]) -> None:
    assert [name for name, source in sources.items() if not ast.get_docstring(ast.parse(source))] == []
