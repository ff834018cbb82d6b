"""Options that verbs share, and the kinds of values they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from broker_wf.address import BUNDLED
from broker_wf.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_DURATION = re.compile(r"(?P<amount>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)?")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Options that may stand before the verb as well as behind it."""

    url: str | None = None
    namespace: str | None = None

    def settings(self, **given: int | str | None) -> Settings:
        """Settings with these options in them; without any URL the bundled server is meant.

        Raises:
            SettingsError: a value is out of its range.
        """
        everything: dict[str, object] = {"url": self.url, "namespace": self.namespace, **given}
        settings = Settings.load(**everything)
        return replace(settings, url=BUNDLED) if settings.url is None else settings


def where(verb: Callable[P, R]) -> Callable[P, R]:
    """Give a verb --url, --namespace and -v."""
    for decorate in (
        click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks of errors."),
        click.option("-n", "--namespace", help="Prefix of every key (BROKER_WF_NAMESPACE)."),
        click.option("-u", "--url", help="The server (BROKER_WF_URL); none: the bundled one."),
    ):
        verb = decorate(verb)
    return verb


def asked_where(url: str | None, namespace: str | None) -> Where:
    """What was given behind the verb, else before it."""
    outer = click.get_current_context().find_object(Where) or Where()
    return Where(url=url or outer.url, namespace=namespace or outer.namespace)


def from_file(option: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Give a verb ``--OPTION-file``: the first line of that file is the option's value, unless one is given itself."""

    def read(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
        if not path:
            return
        try:
            lines = Path(path).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"{path} cannot be read: {error}") from error
        if not lines or not lines[0].strip():
            raise click.BadParameter(f"{path} has nothing in its first line")
        context.default_map = {**(context.default_map or {}), option.replace("-", "_"): lines[0].strip()}

    variable = f"BROKER_WF_{option.replace('-', '_').upper()}_FILE"
    said = f"A file that holds --{option} ({variable})."
    return click.option(
        f"--{option}-file", envvar=variable, is_eager=True, expose_value=False, callback=read, metavar="PATH", help=said
    )


def duration_ms(text: str) -> int:
    """Seconds, or a number with a unit, ``30s``, ``5m``, ``2h``, ``500ms``, in milliseconds; a type for an option.

    Raises:
        click.BadParameter: the text is no duration.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write seconds, or 30s, 5m, 2h, 500ms")
    return round(float(found["amount"]) * _UNIT_MS[found["unit"] or "s"])
