"""What docs/protocol.md says of keys and scripts is what there is."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from broker_wf.broker.keys import FAMILIES, Family
from broker_wf.broker.script import load

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"
SCRIPTS = sorted(
    entry.name.removesuffix(".lua")
    for entry in files("broker_wf.broker").joinpath("scripts").iterdir()
    if entry.name.endswith(".lua")
)
CELL = re.compile(r"(?<!\\)\|")
OTHER_TABLES = re.compile(r"^### (?:The run's record|Messages)$", re.MULTILINE)


@cache
def chapters() -> dict[str, str]:
    """The text of each chapter by its title."""
    parts = re.split(r"^## \d+\. (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def rows(chapter: str) -> dict[str, tuple[str, ...]]:
    """Rows of a chapter's tables by what their first cell names in code quotes; two rows of one name are a mistake."""
    found: dict[str, tuple[str, ...]] = {}
    for line in OTHER_TABLES.split(chapters()[chapter])[0].splitlines():
        cells = [cell.strip() for cell in CELL.split(line)][1:-1]
        name = re.fullmatch(r"`(\w+)`", cells[0]) if cells else None
        if name is not None:
            assert name[1] not in found, f"{name[1]} is described twice"
            found[name[1]] = tuple(cells[1:])
    return found


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_key_family_is_described_as_it_is(family: Family) -> None:
    kind, parts, life, holds = rows("Keys")[family.name]
    assert (kind, parts, life) == (family.kind, " ".join(family.parts), family.life.name.lower())
    assert holds


def test_no_key_family_is_described_that_there_is_not() -> None:
    assert set(rows("Keys")) == set(FAMILIES)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_described(name: str) -> None:
    when, checks, reply, writes = rows("Scripts")[name]
    assert when
    assert checks
    assert reply
    assert writes


def test_no_script_is_described_that_there_is_not() -> None:
    assert set(rows("Scripts")) == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_said_what_a_script_does_when_it_is_sent_again(name: str) -> None:
    first_cells = [line.split("|")[1] for line in chapters()["Sent again"].splitlines() if line.startswith("| `")]
    assert name in {one for cell in first_cells for one in re.findall(r"`(\w+)`", cell)}


def fields_of_a_live_record() -> set[str]:
    """As the comment in lib/record.lua lists them."""
    text = files("broker_wf.broker").joinpath("scripts", "lib", "record.lua").read_text("utf-8")
    comment = text.split("A live record is a map:")[1].split("\n\n")[0].replace("\n-- ", " ")
    return {field.split()[0] for field in re.sub(r"\(.*?\)", "", comment).split(",")}


def test_every_field_of_a_live_record_is_described() -> None:
    section = chapters()["Keys"].split("### A live record")[1].split("### ")[0]
    assert set(re.findall(r"\| `(\w+)` \|", section)) == fields_of_a_live_record()


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_may_be_refused_without_memory_is_said(name: str) -> None:
    assert ("allow-oom" not in load(name).text) == (name in {"submit", "restore", "send", "log"})
    assert "`submit`, `restore`, `send` and `log`" in chapters()["Scripts"].replace("\n", " ")
