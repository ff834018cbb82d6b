"""A name on the wire imports nothing, whatever it names (D23)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest
import redis

from broker_wf.broker.keys import Keys
from broker_wf.errors import DecodeError
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from broker_wf.wire.codec import Codec
from broker_wf.wire.envelope import PLAIN_HEAD
from broker_wf.wire.parts import BLOB, CLASS, TYPE
from broker_wf.wire.remote_errors import decode_error
from tests.security.app import Security
from tests.security.network import ENOUGH_S, PortServer, port_server, serving_worker

NAMES = [
    "os.system", "posix.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "importlib.import_module",
    "antigravity.fly", "this.s", "poisoned_module.Event", "poisoned_module",
    "turtledemo.__main__.DemoWindow", "pickle.loads",
    "__main__.x", "tests.security.app.sys", "..", "", "\x00", "idlelib.run.main",
]  # fmt: skip
"""Modules that are loaded here and modules that are not."""
POISON = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\nclass Event: ...\n"
Form = Callable[[str], object]


def tagged(code: int) -> Form:
    return lambda name: [msgpack.ExtType(code, name.encode()), {"n": 1}]


FORMS: list[Form] = [
    tagged(CLASS),
    tagged(TYPE),
    tagged(BLOB),
    lambda name: msgpack.ExtType(TYPE, name.encode()),
    lambda name: [msgpack.ExtType(CLASS, b"StartEvent"), {}, {0: {"x": [msgpack.ExtType(CLASS, name.encode()), {}]}}],
    lambda name: [msgpack.ExtType(CLASS, b"StartEvent"), {}, {0: {"x": msgpack.ExtType(TYPE, name.encode())}}],
    lambda name: [name, {"n": 1}],
    lambda name: {"__type__": name, "__reduce__": [name, ["id"]]},
]


def payloads() -> list[bytes]:
    """Every name in every place where a class may be named."""
    return [PLAIN_HEAD + cast(bytes, msgpack.packb(form(name))) for name in NAMES for form in FORMS]


@pytest.fixture
def poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that could be imported; the file that stands there once it was."""
    (tmp_path / "poisoned_module.py").write_text(POISON)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "poisoned_module.imported"


def test_reading_imports_nothing_and_refuses_all(poison: Path) -> None:
    codec: Codec = Security().program().codec
    before = set(sys.modules)
    for payload in payloads():
        with pytest.raises(DecodeError):
            codec.decode_event(payload)
    for name in NAMES:
        made = decode_error({"type": name, "message": "m"}, codec.registry.errors)
        assert isinstance(made, Exception)
    assert set(sys.modules) - before == set()
    assert not poison.exists()


@pytest.fixture(autouse=True)
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()


def rewrite(client: redis.Redis, run_id: str, payload: bytes) -> None:
    """Put other bytes where a live delivery keeps its event."""
    live = Keys("imports").of("live", run_id)
    ((field, raw),) = cast("dict[bytes, bytes]", client.hgetall(live)).items()
    record = cast("dict[bytes, Any]", msgpack.unpackb(raw, raw=True, strict_map_key=False))
    record[b"p"] = payload
    client.hset(live, field.decode(), cast(bytes, msgpack.packb(record, use_bin_type=False)))


async def forged(server: PortServer, settings: Settings) -> list[Any]:
    """Live runs whose start events name all that."""
    flow, begun = Security(broker=settings), list[Any]()
    with redis.Redis(port=server.port) as client:
        for payload in payloads():
            begun.append(flow.run())
            await asyncio.wait_for(begun[-1].followed.broker(), ENOUGH_S)
            rewrite(client, begun[-1].run_id, payload)
    return begun


async def test_a_worker_imports_nothing_and_refuses_all(poison: Path, tmp_path: Path) -> None:
    with port_server(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}"
        settings = Settings.load(url=url, namespace="imports")
        begun = await forged(server, settings)
        with serving_worker(url, tmp_path / "worker.log", "imports"):
            ended = await asyncio.wait_for(asyncio.gather(*begun, return_exceptions=True), ENOUGH_S)
            assert await asyncio.wait_for(Security(broker=settings).run(n=2), ENOUGH_S) == 1
        with redis.Redis(port=server.port) as client:
            assert client.xlen(Keys("imports").of("dead")) == len(begun)
    assert {type(one) for one in ended} == {DecodeError}
    assert not poison.exists()
