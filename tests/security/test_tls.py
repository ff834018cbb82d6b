"""A server behind TLS: its certificate is verified, and what is wrong with it is told."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker_wf.cli import health
from broker_wf.client import AsyncClient
from broker_wf.errors import ServerRefusedError
from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.security.app import Security
from tests.security.clients import ask_everything
from tests.security.network import ENOUGH_S, SECRET, port_server, serving_worker
from tests.servers import free_port, server_binary


@dataclass(frozen=True)
class Secured:
    port: int
    ca: Path
    stranger: Path


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def authority(directory: Path, name: str) -> Path:
    """A certificate that may sign others, and its key beside it."""
    file = directory / f"{name}.pem"
    key = str(file.with_suffix(".key"))
    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
        "-keyout",
        key,
        "-out",
        str(file),
    )
    return file


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A server whose certificate is for localhost, not for 127.0.0.1."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH, and the bundled server is built without TLS")
    directory = tmp_path_factory.mktemp("tls")
    ca, stranger = authority(directory, "ours"), authority(directory, "stranger")
    request, extra = directory / "server.csr", directory / "server.ext"
    key, certificate = directory / "server.key", directory / "server.pem"
    extra.write_text("subjectAltName=DNS:localhost\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(request))
    openssl(
        "x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca.with_suffix(".key")), "-CAcreateserial",
        "-days", "2", "-extfile", str(extra), "-out", str(certificate),
    )  # fmt: skip
    port = free_port()
    words = [
        "--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(ca), "--tls-auth-clients", "no", "--requirepass", SECRET,
    ]  # fmt: skip
    with port_server(directory / "data", *words, binary=server_binary("redis")):
        yield Secured(port, ca, stranger)


@pytest.fixture(autouse=True)
async def homes() -> AsyncIterator[None]:
    yield
    await close_homes()


async def test_driver_and_worker_speak_tls(secured: Secured, tmp_path: Path) -> None:
    url = f"rediss://:{SECRET}@localhost:{secured.port}/0?ssl_ca_certs={secured.ca}"
    with serving_worker(url, tmp_path / "worker.log"):
        flow = Security(broker=Settings.load(url=url, namespace="security"))
        assert await asyncio.wait_for(flow.run(n=4), ENOUGH_S) == 0 + 1 + 2 + 3


async def test_a_client_without_the_code_speaks_tls(secured: Secured, tmp_path: Path) -> None:
    at = f"rediss://:{SECRET}@localhost:{secured.port}/0"
    with serving_worker(f"{at}?ssl_ca_certs={secured.ca}", tmp_path / "worker.log", namespace="clients"):
        await ask_everything(f"{at}?ssl_ca_certs={secured.ca}", "clients")
        async with AsyncClient(f"{at}?ssl_ca_certs={secured.stranger}", patience_s=2) as client:
            with pytest.raises(ServerRefusedError, match="its certificate is not accepted") as refused:
                await asyncio.wait_for(client.workflows(), ENOUGH_S)
    assert SECRET not in f"{refused.value!r} {refused.value.__cause__!r}"


@pytest.mark.parametrize(("named", "code"), [("ca", 0), ("stranger", 4)])
def test_the_health_check_trusts_whom_the_url_names(secured: Secured, named: str, code: int) -> None:
    url = f"rediss://:{SECRET}@localhost:{secured.port}/0?ssl_ca_certs={getattr(secured, named)}"
    assert health.main(["--url", url]) == code


async def refusal(url: str) -> str:
    flow = Security(broker=Settings.load(url=url, connect_timeout_ms=2_000))
    with pytest.raises(ServerRefusedError) as caught:
        await asyncio.wait_for(flow.run(), ENOUGH_S)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "ssl_ca_certs=/path/to/ca.pem" in caught.value.cure
    return str(caught.value)


@pytest.mark.parametrize("named", ["", "?ssl_ca_certs={stranger}"])
async def test_a_certificate_of_another_authority_is_refused(secured: Secured, named: str) -> None:
    query = named.format(stranger=secured.stranger)
    said = await refusal(f"rediss://:{SECRET}@localhost:{secured.port}/0{query}")
    assert "its certificate is not accepted" in said
    assert "certificate verify failed" in said


async def test_a_certificate_for_another_host_is_refused(secured: Secured) -> None:
    said = await refusal(f"rediss://:{SECRET}@127.0.0.1:{secured.port}/0?ssl_ca_certs={secured.ca}")
    assert "its certificate is not accepted" in said
