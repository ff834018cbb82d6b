"""Every script compiles where it runs: a fault in one would show only when it is first called."""

from __future__ import annotations

import contextlib
from importlib.resources import files

import pytest
import redis

from broker_wf.broker.broker import open_broker
from broker_wf.broker.script import load
from broker_wf.core.ids import RunId
from broker_wf.errors import BrokerError
from broker_wf.settings import Settings

NAMES = sorted(
    entry.name.removesuffix(".lua")
    for entry in files("broker_wf.broker").joinpath("scripts").iterdir()
    if entry.name.endswith(".lua")
)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_compiles_on_the_server(server_url: str, name: str) -> None:
    script = load(name)
    with redis.Redis.from_url(server_url) as client:
        with contextlib.suppress(redis.ResponseError):
            client.function_delete(script.function)
        assert client.execute_command(*script.loading) == script.function.encode()


@pytest.mark.parametrize("name", NAMES)
def test_a_script_compiles_as_one_text_for_a_server_that_is_full(server_url: str, name: str) -> None:
    """Lua has room for 200 locals in a function, and what `lib/` defines is in the same one then."""
    with redis.Redis.from_url(server_url) as client:
        assert client.script_load(load(name).whole)


@pytest.mark.asyncio
async def test_a_user_who_may_load_no_functions_is_told_so(server_url: str, namespace: str) -> None:
    script, user = load("steps"), f"reader-{namespace}"
    with redis.Redis.from_url(server_url) as client:
        client.execute_command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", "-function|load")
        try:
            with contextlib.suppress(redis.ResponseError):
                client.function_delete(script.function)
            url = server_url.replace("://", f"://{user}:secret@", 1)
            broker = await open_broker(Settings.load(namespace=namespace), url, patience_s=5)
            with pytest.raises(BrokerError, match=r"refused steps: .*no permissions"):
                await broker.runs.running_steps(RunId("none"))
            client.execute_command(*script.loading)
            assert await broker.runs.running_steps(RunId("none")) == []
            await broker.pipe.close()
        finally:
            client.execute_command("ACL", "DELUSER", user)
