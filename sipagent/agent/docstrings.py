"""What a docstring says of a function and its parameters, in Google's or in reStructuredText's manner."""

import re
from inspect import cleandoc

SECTIONS = frozenset(
    {
        "args",
        "arguments",
        "attributes",
        "example",
        "examples",
        "keyword args",
        "note",
        "notes",
        "parameters",
        "raises",
        "returns",
        "see also",
        "todo",
        "warning",
        "warnings",
        "yields",
    }
)
"""Headings that end the description; what is under them is for programmers."""

PARAMETER_SECTIONS = frozenset({"args", "arguments", "keyword args", "parameters"})

HEADING = re.compile(r"(?P<name>[A-Za-z ]+):\s*")
GOOGLE_PARAMETER = re.compile(r"\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)")
FIELD = re.compile(r":(?P<kind>\w+)(\s+(?P<argument>[^:]+))?:\s*(?P<text>.*)")
PARAMETER_FIELDS = frozenset({"param", "parameter", "arg", "argument", "key", "keyword"})


def parse_docstring(docstring: str | None) -> tuple[str, dict[str, str]]:
    """Return the description, its paragraphs kept, and the text of each parameter on one line."""
    lines = cleandoc(docstring or "").splitlines()
    description: list[str] = []
    parameters: dict[str, str] = {}
    while lines:
        line = lines[0]
        heading = HEADING.fullmatch(line)
        if heading and heading["name"].lower() in SECTIONS:
            lines.pop(0)
            body = _take_indented(lines)
            if heading["name"].lower() in PARAMETER_SECTIONS:
                parameters |= _google_parameters(body)
        elif field := FIELD.fullmatch(line):
            lines.pop(0)
            words = _joined([field["text"], *_take_indented(lines)])
            if field["kind"] in PARAMETER_FIELDS and field["argument"]:
                parameters[field["argument"].split()[-1].lstrip("*")] = words
        else:
            description.append(lines.pop(0))
    return "\n".join(description).strip(), {name: words for name, words in parameters.items() if words}


def _take_indented(lines: list[str]) -> list[str]:
    """Take the lines that stand further in, with the empty ones between and after them."""
    taken: list[str] = []
    while lines and (not lines[0].strip() or lines[0][0].isspace()):
        taken.append(lines.pop(0))
    return taken


def _google_parameters(body: list[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    name = None
    outer = min((_indent(line) for line in body if line.strip()), default=0)
    for line in body:
        begins = GOOGLE_PARAMETER.fullmatch(line.strip()) if line.strip() and _indent(line) == outer else None
        if begins:
            name = begins["name"]
            parameters[name] = begins["text"]
        elif name is not None:
            parameters[name] = _joined([parameters[name], line])
    return parameters


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
