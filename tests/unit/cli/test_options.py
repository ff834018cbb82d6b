from __future__ import annotations

import click
import pytest

from broker_wf.cli.options import Where, duration_ms
from broker_wf.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30", 30_000),
        ("1.5", 1_500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("500ms", 500),
        (" 1s ", 1_000),
    ],
)
def test_a_duration_is_seconds_unless_it_says_otherwise(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "soon", "-1", "1d", "1 2"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no duration"):
        duration_ms(text)


def test_without_a_url_the_bundled_server_is_meant() -> None:
    assert Where().settings().url == "bundled://"


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_WF_URL", "redis://there")
    monkeypatch.setenv("BROKER_WF_NAMESPACE", "env")
    settings = Where(url="redis://here").settings(concurrency=3)
    assert (settings.url, settings.namespace, settings.concurrency) == ("redis://here", "env", 3)


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError):
        Where(url="http://here").settings()
