"""The house rules, enforced: who may import whom, how long things may be, what is never written.

ARCHITECTURE.md and STYLE.md say the rules in words. A file that has no place here needs a new
line on the map first.
"""

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator

import pytest

import house

PYTHON = [name for name in house.tracked() if name.endswith(".py")]
PACKAGE = [name for name in PYTHON if name.startswith("python/deleverage/")]
RUST = [name for name in house.tracked() if name.endswith(".rs")]
KERNEL = [name for name in RUST if name.startswith("rust/")]
TESTS = [name for name in PYTHON if re.fullmatch(r"(tests|benches)/(.+/)?test_\w+\.py", name)]
ROOMS = house.ROOT / "python/deleverage"
# Code for wider instruction sets, and the allocator with its advice on large pages.
UNSAFE = {"rust/simd.rs", "rust/memory.rs"}
LOCKS = {"Cargo.lock", "requirements/dev.lock"}

TOP_LEVEL = {
    *(
        ".cargo",
        ".ci",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
    ),
    *("Cargo.toml", "LICENSE", "Makefile", "README.md", "STYLE.md", "TESTING.md", "benches"),
    *("clippy.toml", "docs", "examples", "pyproject.toml", "python", "requirements", "rust"),
    *("rustfmt.toml", "tests"),
}

# A floor imports only from floors below; rooms on one floor do not know each other.
FLOORS = {
    "errors": 0,
    "model": 1,
    "_core": 1,
    "ranking": 2,
    "book": 2,
    "policy": 2,
    "venue": 2,
    "interop": 2,
    "planning": 3,
    "explanation": 3,
    "backstop": 3,
    "ledger": 3,
    "engine": 4,
    "advice": 4,
    "audit": 5,
    "lab": 5,
    "cli": 6,
}
# `import deleverage`: everything below the lab.
FRONT_DOOR = 4
# Two neighbours that belong together: what is asked, and the only one who may ask.
NEIGHBOURS = {("model", "_core"), ("planning", "explanation")}

# Who may import what: a dependency, and the modules (or rooms) that know it.
FRAME_ROOMS = {"planning", "explanation", "interop", "engine", "advice", "lab", "cli"}
IMPORTERS = {
    "polars": FRAME_ROOMS | {"model.sources", "model.frames", "model.quantise", "model.snapshot"},
    "numpy": FRAME_ROOMS | {"model", "ranking", "book", "policy"},
    "deleverage._core": {
        "ranking",
        "book",
        "policy",
        "model.quantise",
        "ledger.canonical",
        "ledger.ledger",
    },
    "rich": {"cli"},
    "typer": {"cli"},
    "sqlite3": {"ledger", "lab.bench_journal", "lab.bench_engine"},
    "tomllib": {"venue", "cli.scenario"},
    "duckdb": {"lab"},
    "jinja2": {"lab"},
    "matplotlib": {"lab"},
    "pandas": {"lab"},
    "pyarrow": {"lab"},
}
# No clock and no chance below the engine: time and seed are arguments.
CLOCKS_AND_CHANCE = {"time", "random", "secrets", "uuid", "numpy.random"}
ENGINE_FLOOR = 4

# Written backwards, so that this list does not find itself.
NOTES = [word[::-1] for word in ("ODOT", "EMXIF")]

# Calls that fail a test by themselves.
ASSERTING = re.compile(r"pytest\.(raises|warns)$|(\w+\.)*assert_")

# Underscores in the name of a Rust test that is a sentence.
SENTENCE_BREAKS = 2

# What a test may take of its runner: what checks, what feeds it, and the names of types.
OF_PYTEST = {"pytest.approx", "pytest.fixture", "pytest.mark.parametrize", "pytest.raises"}
OF_PYTEST |= {"pytest.CaptureFixture", "pytest.FixtureRequest", "pytest.MarkDecorator"}
OF_PYTEST |= {"pytest.MonkeyPatch", "pytest.TempPathFactory"}

# Lines; exceptions may only shrink: lower the number with the file, and remove it at the limit.
FILE_LINES = 500
FUNCTION_LINES = 60
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}


def room(module: str) -> str:
    """The room of a module of the package: `deleverage.model.rules` is in `model`.

    The package itself, and a public name taken from it, are the front door: the room "".
    """
    name = module.split(".")[1] if "." in module else ""
    is_room = name in FLOORS or (ROOMS / f"{name}.py").exists() or (ROOMS / name).is_dir()
    return name if is_room else ""


def inner_imports(name: str) -> list[tuple[str, str, int]]:
    """The package's modules that a file imports: (room, module, line)."""
    return [
        (room(module), module, line)
        for module, line in house.imports(name)
        if under(module, {"deleverage"})
    ]


def under(module: str, names: set[str]) -> bool:
    """Whether a module is one of the names or inside one of them."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_every_file_has_a_place_on_the_map() -> None:
    """The top level holds only known names, and every module is in a known room."""
    top = {name.split("/")[0] for name in house.tracked()}
    rooms = {room(house.module_name(name)) for name in PACKAGE} - {""}

    assert set() == top - TOP_LEVEL
    assert set() == rooms - set(FLOORS)


def test_a_floor_imports_only_from_floors_below() -> None:
    """A room imports from lower floors only; rooms on one floor do not know each other."""
    wrong = []
    for name in PACKAGE:
        here = room(house.module_name(name))
        for there, module, line in inner_imports(name):
            if here in {"", there} or (here, there) in NEIGHBOURS:
                continue
            if FLOORS.get(there, FRONT_DOOR) >= FLOORS.get(here, 0):
                wrong.append(f"{name}:{line} imports {module}")

    assert wrong == [], "\n".join(wrong)


def test_the_front_door_is_light() -> None:
    """The package's `__init__` knows neither the lab nor the command line, and has no logic."""
    name = "python/deleverage/__init__.py"
    rooms = {there for there, _, _ in inner_imports(name)}
    logic = (ast.If, ast.For, ast.While, ast.FunctionDef, ast.ClassDef, ast.Try)
    statements = [node for node in house.syntax(name).body if isinstance(node, logic)]

    assert set() == rooms & {"lab", "cli"}
    assert [] == statements


@pytest.mark.parametrize("dependency", sorted(IMPORTERS))
def test_a_dependency_stays_in_its_rooms(dependency: str) -> None:
    """Polars, NumPy, the kernel and each optional package are imported where the map says."""
    allowed = {f"deleverage.{name}" for name in IMPORTERS[dependency]}
    wrong = [
        f"{name}:{line} imports {module}"
        for name in PACKAGE
        for module, line in house.imports(name)
        if under(module, {dependency}) and not under(house.module_name(name), allowed)
    ]

    assert wrong == [], "\n".join(wrong)


def test_no_clock_and_no_chance_below_the_engine() -> None:
    """Below the engine's floor nothing reads a clock or draws a random number."""
    wrong = [
        f"{name}:{line} imports {module}"
        for name in PACKAGE
        if FLOORS.get(room(house.module_name(name)), 0) < ENGINE_FLOOR
        for module, line in house.imports(name)
        if under(module, CLOCKS_AND_CHANCE)
    ]

    assert wrong == [], "\n".join(wrong)


def test_only_the_seam_names_python() -> None:
    """PyO3 and the Rust `numpy` crate are named in `rust/python.rs` and its folder only."""
    wrong = [
        f"{name}: {word.group()}"
        for name in KERNEL
        if name != "rust/python.rs" and not name.startswith("rust/python/")
        for word in re.finditer(r"\bpyo3\b|\bnumpy\s*::|\buse\s+numpy\b", house.rust_code(name))
    ]

    assert wrong == [], "\n".join(wrong)


def test_unsafe_lives_in_two_files_and_says_why() -> None:
    """`unsafe` is in `rust/simd.rs` and in the allocator, a SAFETY line right above each."""
    wrong = []
    for name in KERNEL:
        lines = house.text(name).splitlines()
        for number, line in enumerate(house.rust_code(name).splitlines()):
            if re.search(r"\bunsafe\b", line) is None:
                continue
            above = number - 1
            while above >= 0 and re.match(r"\s*(//|#\[)", lines[above]):
                above -= 1
            reason = "\n".join(lines[above + 1 : number + 1])
            if name not in UNSAFE or re.search(r"SAFETY:|# Safety", reason) is None:
                wrong.append(f"{name}:{number + 1}")

    assert wrong == [], "\n".join(wrong)


def in_the_kernel(words: str) -> list[str]:
    """Where the words stand in the kernel, its own tests aside: file, line, word."""
    return [
        f"{name}:{code.count(chr(10), 0, word.start()) + 1} {word.group()}"
        for name in KERNEL
        for code in [house.rust_without_tests(name)]
        for word in re.finditer(words, code)
    ]


def test_the_kernel_never_gives_up() -> None:
    """Outside its own tests the kernel neither unwraps, expects nor panics: it returns errors."""
    wrong = in_the_kernel(r"\.unwrap\(\)|\.expect\(|\b(?:panic|todo|unimplemented)!")

    assert wrong == [], "\n".join(wrong)


def test_the_kernel_reads_no_world() -> None:
    """Nothing in `rust/` reads a clock, a file, the network, the environment or chance."""
    wrong = in_the_kernel(
        r"\bstd::(?:fs|net|env|process|time)\b|\bSystemTime\b|\bInstant\b|\brand::"
    )

    assert wrong == [], "\n".join(wrong)


def test_files_are_short() -> None:
    """A Python or Rust file has at most 500 lines; the list of exceptions only shrinks."""
    long = {
        name: lines
        for name in [*PYTHON, *RUST]
        if (lines := len(house.text(name).splitlines())) > FILE_LINES
    }

    assert long == LONG_FILES


def test_functions_are_short() -> None:
    """A function has at most 60 lines without its docstring; the exceptions only shrink."""
    spans = [(name, span) for name in PYTHON for span in house.python_functions(name)]
    spans += [(name, span) for name in RUST for span in house.rust_functions(name)]
    long = {
        f"{name}::{span.name}": span.lines for name, span in spans if span.lines > FUNCTION_LINES
    }

    assert long == LONG_FUNCTIONS


def test_lines_fit_the_page() -> None:
    """A line of Python or Rust has at most 100 columns and no space at its end."""
    wrong = [
        f"{name}:{number}"
        for name in house.tracked()
        if name.endswith((".py", ".pyi", ".rs"))
        for number, line in enumerate(house.text(name).splitlines(), 1)
        if len(line) > 100 or line != line.rstrip()
    ]

    assert wrong == [], "\n".join(wrong)


def test_public_names_are_documented() -> None:
    """Every public class, function and method of the package has a docstring."""
    missing = [
        f"{name}: {public}"
        for name in PACKAGE
        for public, node in house.public_nodes(name)
        if not ast.get_docstring(node)  # type: ignore[arg-type]
    ]

    assert missing == [], "\n".join(missing)


def test_a_module_opens_with_its_idea() -> None:
    """The first line of a module's docstring is one sentence, and it ends as one."""
    wrong = []
    for name in PYTHON:
        lines = (ast.get_docstring(house.syntax(name)) or "").splitlines()
        if not lines or not lines[0].endswith((".", ":", "?")):
            wrong.append(name)
    wrong += [name for name in KERNEL if not house.text(name).startswith("//! ")]

    assert wrong == [], "\n".join(wrong)


def test_public_names_are_listed_and_sorted() -> None:
    """A module of the package that defines public names lists them in `__all__`."""
    wrong = []
    for name in PACKAGE:
        listed = [
            ast.literal_eval(node.value)
            for node in house.syntax(name).body
            if isinstance(node, ast.Assign)
            and [ast.unparse(target) for target in node.targets] == ["__all__"]
        ]
        public = {public for public, _ in house.public_nodes(name) if "." not in public}
        if public and (not listed or public - set(listed[0])):
            wrong.append(f"{name}: {sorted(public - set(listed[0] if listed else []))}")

    assert wrong == [], "\n".join(wrong)


def test_nothing_is_left_for_later() -> None:
    """No source holds a note to oneself: what is missing is a task, not a comment."""
    words = re.compile(r"\b(?:" + "|".join(NOTES) + r")\b")
    suffixes = (".py", ".pyi", ".rs", ".toml", ".md", "Makefile", "run")
    wrong = [
        f"{name}: {word.group()}"
        for name in house.tracked()
        if name.endswith(suffixes)
        for word in words.finditer(house.text(name))
    ]

    assert wrong == [], "\n".join(wrong)


def calls(node: ast.AST) -> set[str]:
    """What a piece of code calls, by the name it is called by."""
    return {ast.unparse(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}


def asserts(node: ast.AST) -> bool:
    """Whether a function asserts by itself."""
    says = any(isinstance(part, ast.Assert) for part in ast.walk(node))
    return says or any(ASSERTING.match(call) for call in calls(node))


def functions(name: str) -> list[ast.FunctionDef]:
    """The functions of a Python file."""
    return [node for node in ast.walk(house.syntax(name)) if isinstance(node, ast.FunctionDef)]


def test_every_test_states_its_rule() -> None:
    """A Python test has a docstring that says the rule, and asserts, itself or by a helper."""
    shared = [name for name in PYTHON if name.startswith("tests/")]
    helpers = {node.name for name in shared for node in functions(name) if asserts(node)}
    wrong = [
        f"{name}:{node.lineno} {node.name}"
        for name in TESTS
        for node in functions(name)
        if node.name.startswith("test_")
        if not ast.get_docstring(node) or not (asserts(node) or calls(node) & helpers)
    ]

    assert wrong == [], "\n".join(wrong)


def test_every_rust_test_states_its_rule() -> None:
    """A Rust test's name is a sentence of three words or more, or a `///` line says the rule."""
    wrong = []
    for name in RUST:
        lines = [line.strip() for line in house.text(name).splitlines()]
        for number in (number for number, line in enumerate(lines) if line == "#[test]"):
            says = any(line.startswith("///") for line in (lines[number - 1], lines[number + 1]))
            named = re.search(r"\bfn (\w+)", "\n".join(lines[number:]))
            if not says and (named is None or named[1].count("_") < SENTENCE_BREAKS):
                wrong.append(f"{name}:{number + 1}")

    assert wrong == [], "\n".join(wrong)


def taken_of_pytest(name: str) -> Iterator[tuple[int, str]]:
    """What a test file takes of its runner and of the clock, with its line."""
    for node in ast.walk(house.syntax(name)):
        if isinstance(node, ast.Attribute):
            said = ast.unparse(node)
            if re.fullmatch(r"(?:pytest(?:\.mark)?|time)\.\w+", said) and said != "pytest.mark":
                yield node.lineno, said
        elif isinstance(node, ast.ImportFrom) and node.module in {"pytest", "time", "unittest"}:
            yield node.lineno, f"from {node.module}"
        elif isinstance(node, ast.Import):
            for one in node.names:
                if one.name == "unittest" or (one.asname and one.name in {"pytest", "time"}):
                    yield node.lineno, ast.unparse(node)


def test_no_test_looks_away() -> None:
    """A test takes of pytest what can only pass or fail, and waits for no clock.

    Whatever could leave a test out is refused by not being listed, under any name: pytest and the
    clock are spelt out where they are used, so that nothing comes in by another name.
    """
    wrong = [
        f"{name}:{line} {said}"
        for name in PYTHON
        if name.startswith("tests/")
        for line, said in taken_of_pytest(name)
        if said not in OF_PYTEST
    ]
    wrong += [name for name in RUST if re.search(r"#\[ignore\b", house.rust_code(name))]

    assert wrong == [], "\n".join(wrong)


def test_no_text_names_a_machine() -> None:
    """No file but a lock names a machine's folder or a package registry's host."""
    folders = "work|root|home|Users|opt|tmp|mnt|scratch"
    registries = r"pypi\.org|pythonhosted\.org|crates\.io|npmjs\.(?:org|com)|anaconda\.org"
    words = re.compile(rf"(?<![\w.)}}\]/-])/(?:{folders})/\w|\b(?:{registries})\b")
    wrong = [
        f"{name}: {word.group()}"
        for name in house.tracked()
        if name not in LOCKS
        for word in words.finditer(house.text(name))
    ]

    assert wrong == [], "\n".join(wrong)


def test_locks_carry_hashes_and_no_host() -> None:
    """The Python lock pins every package with a hash, and names no place to get it from."""
    lock = house.text("requirements/dev.lock")
    pins = re.findall(r"^[a-z0-9][^\s=]*==[^\s]+", lock, re.MULTILINE)
    entries = re.split(r"\n(?=[a-z0-9])", lock.strip())

    assert len(pins) == len(entries) > 0
    assert all("--hash=sha256:" in entry for entry in entries)
    assert re.search(r"://|index-url|find-links", lock) is None


def test_the_version_is_written_once() -> None:
    """Cargo.toml holds the version; the package reports it and no other source repeats it."""
    version = tomllib.loads(house.text("Cargo.toml"))["package"]["version"]
    project = tomllib.loads(house.text("pyproject.toml"))["project"]
    repeated = [
        name
        for name in house.tracked()
        if name.endswith((".py", ".pyi", ".rs")) or name in {"pyproject.toml", "README.md"}
        if re.search(rf"""["'v]{re.escape(version)}\b""", house.text(name))
    ]

    assert version == importlib.metadata.version("deleverage")
    assert ["version"] == project["dynamic"]
    assert "version" not in project
    assert [] == repeated


def test_the_makefile_says_what_it_does() -> None:
    """Every command of the Makefile has a line in `make help`."""
    makefile = house.text("Makefile")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    described = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))

    assert phony is not None
    assert set(phony.group(1).split()) == described
