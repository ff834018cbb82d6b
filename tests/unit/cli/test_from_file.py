from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from broker_wf.cli.options import from_file


@click.command()
@click.option("--read-token", envvar="BROKER_WF_READ_TOKEN")
@from_file("read-token")
def verb(read_token: str | None) -> None:
    click.echo(read_token)


@pytest.fixture
def held(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text("from file \nsecond line\n")
    return str(path)


def said(*arguments: str, **variables: str) -> tuple[int, str]:
    result = CliRunner().invoke(verb, arguments, env={"BROKER_WF_READ_TOKEN": None, **variables})
    return result.exit_code, result.output


def test_the_first_line_of_the_file_is_the_value(held: str) -> None:
    assert said("--read-token-file", held) == (0, "from file\n")
    assert said(BROKER_WF_READ_TOKEN_FILE=held) == (0, "from file\n")


def test_a_value_that_is_given_itself_is_meant(held: str) -> None:
    assert said("--read-token-file", held, "--read-token", "own") == (0, "own\n")
    assert said("--read-token-file", held, BROKER_WF_READ_TOKEN="own") == (0, "own\n")


def test_without_a_file_nothing_is_changed() -> None:
    assert said() == (0, "\n")


def test_a_file_without_a_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, reason in (
        ("missing", "cannot be read"),
        ("empty", "nothing in its first line"),
        ("binary", "cannot be"),
    ):
        code, output = said("--read-token-file", str(tmp_path / name))
        assert (code, reason in " ".join(output.split())) == (2, True), output
