"""The documents and the examples run: what a reader copies works, and prints what is shown.

In a Markdown file every fenced `python` block runs, in order, in one namespace. In a `console`
block every line that starts with `$ deleverage ` runs; lines below it, if any, are its output.
A line `...` stands for any lines. A comment `# exit 4` after a command is its exit code.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

import house

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
EXAMPLE_LINES = 40
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a document: its language, its text, and the line it starts at."""

    language: str
    code: str
    line: int


class Command(NamedTuple):
    """A command that a document shows: its words, its exit code, and the output shown."""

    words: list[str]
    code: int
    output: list[str]


def blocks(document: str, language: str) -> list[Block]:
    """The fenced blocks of a document in one language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start(2)))
        for match in FENCE.finditer(text)
        if match[1] == language
    ]


def commands(block: Block) -> list[Command]:
    """The `deleverage` commands of a `console` block, each with what is shown below it."""
    found: list[Command] = []
    for shown in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        line, *output = shown.replace("\\\n", " ").splitlines()
        if line.startswith("deleverage "):
            code = re.search(r"# exit (\d+)\s*$", line)
            words = shlex.split(line, comments=True)
            found.append(Command(words, int(code[1]) if code else 0, output))
    return found


def looks_like(shown: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are those shown, where `...` stands for any lines."""
    rows = [
        r"(?:.*\n)*?" if row.strip() == "..." else re.escape(row.rstrip()) + "\n" for row in shown
    ]
    return re.fullmatch("".join(rows), "".join(f"{row.rstrip()}\n" for row in printed)) is not None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder: the examples are at hand, and it is the present folder."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_blocks_run(document: str, desk: Path) -> None:
    """Every Python block of a document runs, in order, without a warning."""
    assert desk.is_dir()
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(document, "python"):
        code = compile("\n" * block.line + block.code, document, "exec")
        with warnings.catch_warnings(action="error"):
            exec(code, namespace)  # noqa: S102 - running the document is the test


@pytest.mark.parametrize("document", DOCUMENTS)
def test_console_blocks_run(document: str, desk: Path) -> None:
    """Every `deleverage` command of a document runs and prints what the document shows."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    environment = os.environ | {"PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}
    for block in blocks(document, "console"):
        for command in commands(block):
            done = subprocess.run(
                command.words,
                cwd=desk,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert command.code == done.returncode, f"{command.words}: {done.stderr}"
            assert not command.output or looks_like(command.output, done.stdout.splitlines()), (
                f"{command.words} printed:\n{done.stdout}"
            )


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example: str, desk: Path) -> None:
    """Every example runs from its own folder, prints something and says nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{example}"],
        cwd=desk,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.strip()


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_short(example: str) -> None:
    """An example has fewer than 40 lines."""
    lines = (ROOT / "examples" / example).read_text(encoding="utf-8").splitlines()

    assert len(lines) < EXAMPLE_LINES


def test_links_lead_somewhere() -> None:
    """Every relative link of a Markdown file leads to a file of the project."""
    pages = [ROOT / name for name in house.tracked() if name.endswith(".md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]

    assert broken == []


def test_paths_that_are_named_exist() -> None:
    """Every path that a Markdown file of the top level names in code leads to something."""
    pages = [name for name in house.tracked() if re.fullmatch(r"\w+\.md", name)]
    folders = "tests|rust|python|docs|benches|examples|requirements"
    missing = [
        f"{page}: {path}"
        for page in pages
        for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", house.text(page))
        if not (ROOT / path).exists()
    ]

    assert missing == [], "\n".join(missing)
