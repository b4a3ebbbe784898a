"""Filling the page of a report: the only file that knows the templates' language."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from deleverage.lab.report_words import Caption

__all__ = ["Section", "Table", "filled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One picture with its words.

    Attributes:
        name: of the picture; the section's anchor.
        svg: the drawing, an element; taken as it is.
        words: around it.
    """

    name: str
    svg: str
    words: Caption


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table with its words.

    Attributes:
        name: the anchor.
        title: its heading.
        caption: what it holds.
        columns: headings.
        rows: a text each column.
    """

    name: str
    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def filled(
    templates: Path,
    *,
    title: str,
    opening: str,
    findings: Sequence[str],
    sections: Sequence[Section],
    tables: Sequence[Table],
    words: Sequence[tuple[str, str]],
    reproduce: str,
    limits: str,
) -> str:
    """Fill the page; every word is escaped, only drawings stand as they are.

    Args:
        templates: the folder of the template.
        title: of the page.
        opening: its first paragraph.
        findings: sentences.
        sections: pictures.
        tables: tables.
        words: word and meaning.
        reproduce: what gives the same page.
        limits: what is left out.
    """
    environment = Environment(
        loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined
    )
    drawn = [
        {
            "name": one.name,
            "title": one.words.title,
            "svg": Markup(one.svg),  # noqa: S704 - drawn here, never given from outside
            "caption": one.words.shown,
            "reading": one.words.reading,
        }
        for one in sections
    ]
    return environment.get_template("report.html.j2").render(
        title=title,
        opening=opening,
        findings=findings,
        sections=drawn,
        tables=tables,
        words=words,
        reproduce=reproduce,
        limits=limits,
    )
