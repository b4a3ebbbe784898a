"""Reading the sources: which files there are, and what a Python or Rust file holds.

No rule lives here; the rules are the tests of `test_house.py`.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "ROOT",
    "Span",
    "imports",
    "module_name",
    "public_nodes",
    "python_functions",
    "rust_code",
    "rust_functions",
    "rust_without_tests",
    "syntax",
    "text",
    "tracked",
]

ROOT = Path(__file__).resolve().parent.parent
BUILT = {".git", ".venv", "target", "dist", "out", "__pycache__", ".benchmarks", ".hypothesis"}
BUILT |= {".mypy_cache", ".pytest_cache", ".ruff_cache"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Span(NamedTuple):
    """A named stretch of a file: where it starts and how many lines it has."""

    name: str
    line: int
    lines: int


@cache
def tracked() -> tuple[str, ...]:
    """Every file that belongs to the project, as a path from the top, sorted.

    Git is asked first, which leaves out what it ignores; an unpacked archive is walked.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        names = {name for name in listing.stdout.decode().split("\0") if name}
    except (OSError, subprocess.CalledProcessError):
        names = {path.relative_to(ROOT).as_posix() for path in _walk(ROOT)}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in BUILT:
            yield from _walk(path)
        elif path.is_file() and path.suffix not in {".so", ".pyd"}:
            yield path


@cache
def text(name: str) -> str:
    """The text of a file of the project; empty where it is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def syntax(name: str) -> ast.Module:
    """The syntax tree of a Python file of the project."""
    return ast.parse(text(name), filename=name)


def module_name(name: str) -> str:
    """The dotted name of a file under `python/`: `deleverage.model.rules`."""
    parts = Path(name).relative_to("python").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str) -> Iterator[tuple[str, int]]:
    """Every module that a Python file imports, anywhere in it, with the line.

    `from deleverage.model import rules` counts as `deleverage.model.rules`.
    """
    for node in ast.walk(syntax(name)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)


def python_functions(name: str) -> Iterator[Span]:
    """The functions of a Python file; a docstring does not count as length."""
    for node in ast.walk(syntax(name)):
        if isinstance(node, Function):
            first = node.body[0]
            has_docstring = ast.get_docstring(node, clean=False) is not None
            prose = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
            yield Span(
                node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1 - prose
            )


def public_nodes(name: str) -> Iterator[tuple[str, ast.AST]]:
    """The public classes, functions and methods of a Python file, with their dotted names."""

    def visit(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
        for node in body:
            if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
                yield prefix + node.name, node
                if isinstance(node, ast.ClassDef):
                    yield from visit(node.body, f"{prefix}{node.name}.")

    yield from visit(syntax(name).body, "")


RUST_WORDS = re.compile(
    r"""
      //[^\n]*                                   # a comment to the end of the line
    | /\*.*?\*/                                  # a block comment
    | b?r(?P<hashes>\#*)".*?"(?P=hashes)         # a raw string
    | b?"(?:\\.|[^"\\])*"                        # a string
    | b?'(?:\\(?:[^u\n]|u\{[0-9a-fA-F_]+\})[^'\n]*|[^'\\\n])'  # a character, not a lifetime
    """,
    re.VERBOSE | re.DOTALL,
)


@cache
def rust_code(name: str) -> str:
    """A Rust file with comments, strings and characters blanked; line numbers stay."""
    return RUST_WORDS.sub(lambda word: re.sub(r"[^\n]", " ", word.group()), text(name))


def _closing_brace(code: str, start: int) -> int:
    """Where the block that opens first after `start` ends; a `;` before it ends an item too."""
    depth = 0
    for place in range(start, len(code)):
        if code[place] == "{":
            depth += 1
        elif code[place] == "}":
            depth -= 1
            if depth == 0:
                return place
        elif code[place] == ";" and depth == 0:
            return place
    return len(code) - 1


@cache
def rust_without_tests(name: str) -> str:
    """A Rust file's code with every `#[cfg(test)]` item blanked; line numbers stay."""
    code = rust_code(name)
    for match in reversed(list(re.finditer(r"#\[cfg\((?:all\()?test\b[^\]]*\]", code))):
        end = _closing_brace(code, match.end()) + 1
        code = code[: match.start()] + re.sub(r"[^\n]", " ", code[match.start() : end]) + code[end:]
    return code


def rust_functions(name: str) -> Iterator[Span]:
    """The functions of a Rust file, from the `fn` to the closing brace."""
    code = rust_code(name)
    for match in re.finditer(r"\bfn\s+(\w+)", code):
        signature = re.compile(r"[{;]").search(_without_brackets(code, match.end()))
        if signature is None or signature.group() == ";":
            continue
        end = _closing_brace(code, match.end() + signature.start())
        first = code.count("\n", 0, match.start()) + 1
        yield Span(match.group(1), first, code.count("\n", 0, end) + 2 - first)


def _without_brackets(code: str, start: int) -> str:
    """The code after `start` with `[T; N]` blanked, so that a signature ends at `{` or `;`."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda part: " " * len(part.group()), code[start:])
