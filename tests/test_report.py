"""The report: one page that needs nothing else, the same bytes each time, and true words."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from commandline import call
from deleverage import Venue
from deleverage.errors import InputError
from deleverage.lab.pictures import PICTURES, png, svg
from deleverage.lab.pictures_style import gather_lines, scale_of
from deleverage.lab.report import report_html, report_pictures, spread_of
from deleverage.lab.report_words import CAPTIONS, MEASURES
from deleverage.lab.simulate import Simulation, simulate
from deleverage.lab.simulate_course import Course
from deleverage.lab.simulate_summary import SUMMARY, summarise

Capture = pytest.CaptureFixture[bytes]
COURSE = Course(accounts=80, pool=30_000_000, depth=2_000)
GENERIC = Venue.load("generic")


@pytest.fixture(scope="module")
def pair() -> list[Simulation]:
    """One crash under two policies."""
    return [
        simulate(COURSE, venue=GENERIC, policy=policy) for policy in ("queue", "leverage-draining")
    ]


@pytest.fixture(scope="module")
def page(pair: list[Simulation]) -> str:
    """Their report."""
    return report_html(pair, command="deleverage report <again>")


class Reader(HTMLParser):
    """Collects what a page loads, its anchors, its texts, and whether its tags match."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what it loads and where it leads."""
        given = {name: value or "" for name, value in attrs}
        if tag not in self.VOID:
            self.open.append(tag)
        self.loaded += [tag] * (tag in {"script", "link", "iframe", "img", "object"})
        self.loaded += [given["src"]] if "src" in given else []
        self.anchors.add(given.get("id", ""))
        self.links += [given["href"]] if tag == "a" else []

    def handle_endtag(self, tag: str) -> None:
        """See that the tag that ends is the last one that began."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self.text.append(data)


def test_the_page_is_whole_and_alone(page: str) -> None:
    """Every tag is closed, nothing is loaded, and every entry of the contents leads somewhere."""
    reader = Reader()
    reader.feed(page)

    assert reader.open == []
    assert reader.loaded == []
    assert {link[1:] for link in reader.links} <= reader.anchors
    assert "url(http" not in page
    assert "@import" not in page


def test_the_same_input_gives_the_same_bytes(pair: list[Simulation], page: str) -> None:
    """Written again, the page and every picture are equal to the byte, and hold no date."""
    again = [simulate(COURSE, venue=GENERIC, policy=one.policy) for one in pair]

    assert report_html(again, command="deleverage report <again>") == page
    assert re.search(r"\b20\d\d-\d\d-\d\d", page) is None
    for draw in PICTURES.values():
        assert png(draw, pair) == png(draw, again)


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_picture_is_sound_svg_with_a_caption(name: str, pair: list[Simulation]) -> None:
    """Each picture parses as XML, stands inside the page, and has a title and two sentences."""
    drawn = svg(PICTURES[name], pair)
    root = ET.fromstring(drawn)  # noqa: S314 - drawn here

    assert root.tag.endswith("svg")
    assert list(CAPTIONS) == list(PICTURES)
    assert CAPTIONS[name].title
    assert CAPTIONS[name].shown.endswith(".")
    assert CAPTIONS[name].reading.endswith(".")


def test_the_figures_of_the_page_are_the_summarys(pair: list[Simulation], page: str) -> None:
    """Each measure stands in the table with its value under each policy."""
    table = summarise(pair)

    assert list(MEASURES) == list(SUMMARY)[2:]
    for name, words in MEASURES.items():
        cells = re.search(rf"<tr><td>{re.escape(words)}</td>(.*?)</tr>", page)
        assert cells is not None
        shown = [float(cell.replace(",", "")) for cell in re.findall(r"<td>(.*?)</td>", cells[1])]
        assert shown == pytest.approx(table[name].to_list(), abs=0.5 if max(shown) > 999 else 5e-4)


def test_words_are_escaped(page: str) -> None:
    """What comes from outside cannot become a tag."""
    assert "deleverage report &lt;again&gt;" in page
    assert "<again>" not in page


def test_a_quiet_crash_still_gives_a_page() -> None:
    """Where nobody is deleveraged every picture is drawn and the page says so."""
    quiet = Course(accounts=20, steps=5, jumps=())
    found = simulate(quiet, venue=GENERIC)

    assert found.fills.height == 0
    assert "Nobody was deleveraged" in report_html([found], command="x")
    said = {name for name, draw in PICTURES.items() if "nobody was cut" in svg(draw, [found])}
    assert said == {"queue", "lorenz", "waves", "naked", "trilemma"}


@pytest.mark.parametrize(
    ("amounts", "scale"),
    [
        ([], (1.0, "units")),
        ([0, 999], (1.0, "units")),
        ([None, -1_000], (1e3, "thousands")),
        ([999_999], (1e3, "thousands")),
        ([1_000_000], (1e6, "millions")),
        ([2_500_000_000], (1e9, "billions")),
    ],
)
def test_an_axis_counts_in_what_its_data_is(
    amounts: list[int | None], scale: tuple[float, str]
) -> None:
    """The largest amount of either sign chooses; what is not known does not."""
    assert scale_of(pl.Series(amounts, dtype=pl.Int64)) == scale


def test_lines_on_each_other_stand_once_under_all_names() -> None:
    """Those whose columns are all the same share a line; where all are, it says so."""
    flat, steep = pl.Series([0.0, 0.0]), pl.Series([0.0, 5.0])
    lines = [("a", [flat]), ("b", [steep]), ("c", [flat])]

    assert [name for name, _ in gather_lines(lines)] == ["a\nc", "b"]
    assert [name for name, _ in gather_lines([lines[0], lines[2]])] == ["all alike"]
    assert [name for name, _ in gather_lines(lines[:1])] == ["a"]


def test_another_table_may_stand_in_the_page(pair: list[Simulation]) -> None:
    """A comparison that is handed over is printed, its nulls as a dash."""
    table = pl.DataFrame({"venue": ["v"], "policy": ["p"], "lost": [None]})

    assert "<td>v</td><td>p</td><td>-</td>" in report_html(pair, compared=table, command="x")


def test_what_does_not_belong_together_is_refused(pair: list[Simulation]) -> None:
    """No simulation, or simulations of two courses, make no report."""
    other = simulate(Course(accounts=20, steps=5, jumps=()), venue=GENERIC)
    with pytest.raises(InputError, match="at least one"):
        report_html([], command="x")
    with pytest.raises(InputError, match="one course"):
        report_html([*pair, other], command="x")


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named(
    missing: str, pair: list[Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Matplotlib or Jinja2 the error says what to install; nothing else needs them."""
    for name in ("deleverage.lab.pictures", "deleverage.lab.report_page"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from deleverage import lab

    for name in ("pictures", "report_page"):
        monkeypatch.delattr(lab, name, raising=False)
    for name in [one for one in sys.modules if one.split(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=rf'{missing}.*pip install "deleverage\[lab\]"'):
        report_html(pair, command="x")


def test_pictures_are_written_as_png(pair: list[Simulation], tmp_path: Path) -> None:
    """One PNG a picture, named as in the page."""
    paths = report_pictures(pair, tmp_path / "new")

    assert [path.stem for path in paths] == list(PICTURES)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_a_sentence_tells_apart_what_is_printed_apart() -> None:
    """Whoever shares the printed figure of an end is named with it; one figure has no ends."""
    values = [0.50001, None, 0.49999, 0.9]

    assert spread_of("part", ["a", "b", "c", "d"], values) == (
        "part: from 0.500 (a, c) to 0.900 (d)."
    )
    assert spread_of("part", ["a", "b"], [0.10001, 0.1]) == "part: 0.100 under every policy."


def test_the_command_writes_page_and_pictures(capsysbinary: Capture, tmp_path: Path) -> None:
    """`report` writes the page that it says how to write again."""
    path = tmp_path / "page.html"
    words = ("report", "--accounts", "40", "--policy", "queue", "-o")
    done = call(capsysbinary, *words, path, "--png", tmp_path / "png", "--compare")

    assert done.code == 0
    text = path.read_text(encoding="utf-8")
    assert (
        "deleverage report --venue generic --policy queue --seed 0 --accounts 40 --compare" in text
    )
    assert 'id="compare"' in text
    assert len(list((tmp_path / "png").iterdir())) == len(PICTURES)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("no/page.html", "that exists; make it"),
        ("page.pdf", "expected a file that ends in .html or .htm, got the suffix '.pdf'"),
        ("-", "expected a file that ends in .html or .htm, got the suffix ''"),
        ("folder.html", "got a directory"),
        ("page.html --png taken", "--png taken: expected a directory, got a file"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_first(
    place: str,
    says: str,
    capsysbinary: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A place that takes no page is named before anything is simulated; nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "taken").write_text("years of work", encoding="utf-8")
    monkeypatch.setattr("deleverage.cli.report.played", None)
    refused = call(capsysbinary, "report", "--policy", "queue", "-o", *place.split())

    assert (2, b"") == (refused.code, refused.out)
    assert says in refused.err
    assert {path.name for path in tmp_path.iterdir()} == {"folder.html", "taken"}
