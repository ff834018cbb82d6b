from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKERS = Path(__file__).resolve().parents[3] / "workers"
if str(WORKERS) not in sys.path:
    sys.path.insert(0, str(WORKERS))


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Indexes of one test run only: no test reads what a person's earlier run has left."""
    folder = tmp_path_factory.mktemp("index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APP_CACHE", str(folder))
        for name in ("APP_LLM_URL", "APP_LLM_MODEL", "APP_LLM_KEY", "APP_LLM_TIMEOUT_S"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty index folder for one test, as on a machine that has never searched."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("APP_CACHE", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small corpus of each kind of file."""
    root = tmp_path / "texts"
    (root / "sub").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "guide.md").write_text(
        "# The guide\n\nWelcome to it.\n\n## Feeding cats\n\nCats eat fish. They sleep a lot.\n\n"
        "```sh\n# not a heading\n```\n"
    )
    (root / "sub" / "page.html").write_text(
        "<html><head><title>Dogs &amp; co</title><style>p {color: red}</style></head><body>"
        "<p>About dogs.</p><h2>Walking <em>dogs</em></h2><p>Dogs like long walks.<br>Twice a day.</p>"
        "<script>var hidden = 1;</script></body></html>"
    )
    (root / "notes.txt").write_text("Birds sing in the morning.\n\nFish do not sing.\n")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / ".hidden" / "secret.txt").write_text("not for search")
    return root
