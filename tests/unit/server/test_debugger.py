"""The files of the debugger page as they are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker_wf.server.page.debugger import assets_of

STYLE = """@import"https://fonts.googleapis.com/css2?family=Inter:wght@100;200&display=swap";@import "own.css";
@import url('//elsewhere.example/a.css') screen;#root{font-family:Inter}"""


def test_the_style_sheet_is_rid_of_what_it_loads_from_elsewhere_and_of_nothing_else(tmp_path: Path) -> None:
    dist = tmp_path / "package" / "dist"
    dist.mkdir(parents=True)
    (dist / "app.js").write_text("1")
    (dist / "app.css").write_text(STYLE)
    for named in (tmp_path, tmp_path / "package", dist):
        assert assets_of(named)["app.css"].split() == [b"@import", b'"own.css";', b"#root{font-family:Inter}"]


def test_a_folder_without_the_files_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no app\.js and app\.css"):
        assets_of(tmp_path)
