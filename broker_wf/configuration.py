"""The settings that workflows of this process use unless they are given their own."""

from __future__ import annotations

from broker_wf.settings import Settings

_given: dict[str, object] = {}


def configure(**settings: object) -> None:
    """Set defaults for every workflow of this process: ``configure(url="redis://…", namespace="…")``.

    Fields are those of ``Settings``; they win over the environment. Without arguments all are taken back.

    Raises:
        SettingsError: no such field, or a value out of range; nothing was changed.
    """
    Settings.load(**settings)
    _given.clear()
    _given.update(settings)


def current_settings(broker: Settings | str | None = None) -> Settings:
    """What applies now.

    Args:
        broker: a workflow's own: settings, or the URL.

    Raises:
        SettingsError: a variable of the environment has a value it cannot have.
    """
    if isinstance(broker, Settings):
        return broker
    return Settings.load(**(_given if broker is None else {**_given, "url": broker}))
