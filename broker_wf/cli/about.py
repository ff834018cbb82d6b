"""``health``, ``config`` and ``version``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import click

from broker_wf._version import __version__
from broker_wf.address import PREFIX
from broker_wf.cli import health as light
from broker_wf.cli.options import asked_where, where
from broker_wf.cli.output import print_json, print_table, print_text
from broker_wf.errors import without_password
from broker_wf.settings import Settings


@click.command()
@click.option("--worker", is_flag=True, help="Look whether the worker has touched BROKER_WF_HEALTH_FILE within 15 s.")
@where
def health(worker: bool, url: str | None, namespace: str | None) -> int:
    """Does the server answer PING; with --worker: is the worker's claim loop alive?"""
    given = asked_where(url, namespace).url
    return light.main([*(["--worker"] if worker else []), *(["--url", given] if given else [])])


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@where
def config(as_json: bool, url: str | None, namespace: str | None) -> None:
    """Every setting, its value and where that comes from."""
    given = asked_where(url, namespace)
    settings = Settings.load(url=given.url, namespace=given.namespace)
    options = {name for name, value in (("url", given.url), ("namespace", given.namespace)) if value}
    rows = [
        (field.name, _shown(settings, field.name), _source(field.name, options))
        for field in dataclasses.fields(Settings)
    ]
    if as_json:
        print_json({name: {"value": value, "source": source} for name, value, source in rows})
        return
    print_table(("setting", "value", "from"), [(n, "-" if v is None else str(v), s) for n, v, s in rows])


def _shown(settings: Settings, name: str) -> object:
    value: object = getattr(settings, name)
    if name == "signing_key" and value:
        return "(hidden)"
    return without_password(value) if name == "url" and isinstance(value, str) else value


def _source(name: str, options: set[str], environment: Mapping[str, str] = os.environ) -> str:
    if name in options:
        return "option"
    variable = PREFIX + name.upper()
    return variable if environment.get(variable) else "default"


@click.command()
def version() -> None:
    """The version of broker-wf."""
    print_text(__version__)
