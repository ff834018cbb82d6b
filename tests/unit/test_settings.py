from __future__ import annotations

from pathlib import Path

import pytest

from broker_wf.errors import SettingsError
from broker_wf.settings import Settings


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), (" Yes ", True), ("ON", True), ("0", False), ("false", False), ("no", False)],
)
def test_a_setting_that_is_true_or_false(text: str, value: bool) -> None:
    assert Settings.of({"BROKER_WF_ALLOW_INSECURE": text}, {}).allow_insecure is value


def test_sentinels_are_told_which_service() -> None:
    with pytest.raises(SettingsError, match="must name the service") as caught:
        Settings.of({"BROKER_WF_URL": "redis+sentinel://u:hidden@a:1,b:2"}, {})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://u:hidden@[::1/0", "redis://u:hid/hidden@a", "redis+sentinel://u:hidden@a:1,b:x/m"]
)
def test_what_is_no_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="is no URL of a server") as caught:
        Settings.of({"BROKER_WF_URL": url}, {})
    assert "hid" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("hosts", ["a:1,[::1]:2", "[::1]:2,a:1", "[::1],[::2]:5"])
def test_a_password_is_put_before_all_hosts(tmp_path: Path, hosts: str) -> None:
    (tmp_path / "secret").write_text("p@ss\n")
    settings = Settings(url=f"redis+sentinel://user@{hosts}/main/2?a=b", password_file=str(tmp_path / "secret"))
    assert settings.full_url == f"redis+sentinel://user:p%40ss@{hosts}/main/2?a=b"


def test_what_is_neither_true_nor_false() -> None:
    with pytest.raises(SettingsError, match=r"BROKER_WF_ALLOW_VOLATILE.*must be 1 or 0"):
        Settings.of({"BROKER_WF_ALLOW_VOLATILE": "perhaps"}, {})


@pytest.mark.parametrize(
    "text", ["short-secret", "a-key-that-is-long-enough,short-secret", "a-key-that-is-long-enough,"]
)
def test_a_key_that_is_too_short_is_not_shown(text: str) -> None:
    with pytest.raises(SettingsError, match="keys of 16 characters or more, or 'unsigned'") as caught:
        Settings.of({"BROKER_WF_SIGNING_KEY": text}, {})
    assert "secret" not in str(caught.value)


def test_keys_are_not_shown() -> None:
    settings = Settings.of({"BROKER_WF_SIGNING_KEY": "unsigned, a-key-that-is-long-enough"}, {})
    assert "long-enough" not in repr(settings)
