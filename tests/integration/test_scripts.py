"""Every script compiles where it runs: a fault in one would show only when it is first called."""

from __future__ import annotations

from importlib.resources import files

import pytest
import redis

from broker_wf.broker.script import load

NAMES = sorted(
    entry.name.removesuffix(".lua")
    for entry in files("broker_wf.broker").joinpath("scripts").iterdir()
    if entry.name.endswith(".lua")
)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_compiles_on_the_server(server_url: str, name: str) -> None:
    script = load(name)
    with redis.Redis.from_url(server_url) as client:
        assert client.script_load(script.text) == script.sha
