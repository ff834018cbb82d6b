"""What a server must be before work is given to it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qs

from broker_wf.broker.clients import NewBlockingConnection, NewConnection, RedisClient
from broker_wf.broker.connection import (
    FIRST_WAIT_MS,
    LONGEST_WAIT_MS,
    LOST,
    NOBODY,
    RefusedByServer,
    ServerLoadingError,
    UnfitServerError,
    wants_password,
)
from broker_wf.broker.refusals import password_refused, reply_word
from broker_wf.broker.seal import FSYNC
from broker_wf.core.clock import SystemClock
from broker_wf.errors import ServerRefusedError, ServerUnreachableError
from broker_wf.settings import Settings
from broker_wf.urls import split_url

log = logging.getLogger("broker_wf.connection")

_OLDEST = 7
_WAITS_FOR_ITS_LOG = (7, 2)
_TLS_CURE = (
    "Name the certificate of its authority in the URL, rediss://…?ssl_ca_certs=/path/to/ca.pem, and the host as the "
    "certificate does."
)
_PASSWORD_WORDS = ("NOAUTH", "WRONGPASS", "NOPERM")


@dataclass(slots=True)
class Admission:
    """Looks at the server at every new connection: it may be another one by now, or have other settings.

    Attributes:
        changes: how often it was another process than before.
        connections: how many have been made, or begun.
    """

    url: str
    settings: Settings
    changes: int = 0
    connections: int = 0
    _run_id: str | None = None

    async def admit(self, connection: NewConnection) -> None:
        """Make a connection ready; nothing is asked before :func:`check_server` was content.

        Raises:
            UnfitServerError: :func:`check_server` would refuse it now.
            ServerLoadingError: not yet.
        """
        self.connections += 1
        await connection.on_connect()
        if self._run_id is None:
            return
        await connection.send_command("INFO")
        try:
            facts = read_facts(await connection.read_response())
        except LOST:
            raise
        except RefusedByServer as error:
            raise UnfitServerError(_refusal(error, self.url)) from None
        refuse_unfit(facts, self.url, self.settings)
        self.note(facts)

    def note(self, facts: dict[str, str]) -> None:
        """This server is used from now on."""
        before, self._run_id = self._run_id, facts.get("run_id", "")
        if self._run_id == before:
            return
        self.changes += before is not None
        if facts.get("aof_enabled") == "0":
            log.warning("the server keeps no log (appendonly no): runs are lost when it restarts")


def admit_blocking(connection: NewBlockingConnection, url: str, lenient: Mapping[str, object]) -> None:
    """As :meth:`Admission.admit`, for a connection of a thread or process that only renews.

    Args:
        lenient: the settings that say what a server may be.

    Raises:
        UnfitServerError, ServerLoadingError: as there.
    """
    connection.on_connect()
    connection.send_command("INFO")
    try:
        facts = read_facts(connection.read_response())
    except LOST:
        raise
    except RefusedByServer as error:
        raise UnfitServerError(_refusal(error, url)) from None
    refuse_unfit(facts, url, Settings.of({}, {"url": url, **lenient}))


def lenience(settings: Settings) -> dict[str, object]:
    """The settings that say what a server may be, as plain values."""
    return {name: getattr(settings, name) for name in ("allow_insecure", "allow_volatile", "durability")}


def refuse_unfit(facts: dict[str, str], url: str, settings: Settings) -> None:
    """Raise UnfitServerError or ServerLoadingError where a server with these facts must not be used now."""
    if is_loading(facts):
        raise ServerLoadingError
    fault = fault_of(facts, url, settings)
    if fault is not None:
        raise UnfitServerError(fault)


async def check_server(client: RedisClient, admission: Admission) -> None:
    """Refuse a server that would lose work, or that anybody in the network could use.

    A reply that is lost is asked for again for ``connect_timeout_ms``; where nobody listens nobody is waited for.

    Raises:
        ServerUnreachableError: it does not answer.
        ServerRefusedError: older than 7.0, a replica, evicts keys, keeps no log or asks for no password though it is
            on another machine, wants another password, or is no Redis; says the cure.
    """
    url, settings = admission.url, admission.settings
    facts = await _facts(client, url, settings.connect_timeout_ms)
    fault = fault_of(facts, url, settings)
    if fault is not None:
        raise fault
    admission.note(facts)


def fault_of(facts: dict[str, str], url: str, settings: Settings) -> ServerRefusedError | None:
    """Why a server with these facts must not be used; None if it may."""
    version = facts.get("redis_version", "0")
    policy = facts.get("maxmemory_policy", "noeviction")
    near = is_loopback(url)
    reason, cure = "", ""
    if int(version.split(".", 1)[0]) < _OLDEST:
        reason, cure = f"its version is {version}", "Use Redis 7.0 or later, or Valkey 7.2 or later."
    elif facts.get("role") not in (None, "master"):
        reason, cure = "it is a replica", "Use the address of the master."
    elif policy != "noeviction":
        reason = f"it may evict keys (maxmemory-policy {policy}), which loses work"
        cure = "Set maxmemory-policy noeviction."
    elif not (near or settings.allow_insecure or _has_password(url)):
        reason = "it is on another machine and lets anybody in without a password"
        cure = (
            "Set requirepass or an ACL user there and give the password in the URL or BROKER_WF_PASSWORD_FILE; "
            "where the network is trusted, set BROKER_WF_ALLOW_INSECURE=1."
        )
    elif not (near or settings.allow_volatile) and facts.get("aof_enabled") == "0":
        reason = "it keeps no log of what it was told (appendonly no), so a restart loses accepted runs"
        cure = "Set appendonly yes; where that loss does not matter, set BROKER_WF_ALLOW_VOLATILE=1."
    elif settings.durability == FSYNC:
        reason, cure = _fsync_fault(facts)
    return ServerRefusedError(url, reason, cure) if reason else None


def _fsync_fault(facts: dict[str, str]) -> tuple[str, str]:
    if facts.get("aof_enabled") == "0":
        return "durability is to be fsync and it keeps no log (appendonly no)", "Set appendonly yes."
    version = facts.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2]) >= _WAITS_FOR_ITS_LOG:
        return "", ""
    cure = "Use Redis 7.2 or later, or Valkey; or set appendfsync always there and leave durability as none."
    return f"durability is to be fsync, which version {version} cannot be asked for", cure


def is_loading(facts: dict[str, str]) -> bool:
    """Whether the server still reads its log: it says meanwhile that it keeps none."""
    return facts.get("loading") == "1" or facts.get("async_loading") == "1"


def is_loopback(url: str) -> bool:
    """Whether only this machine can reach the server, going by the URL alone: no name is looked up."""
    given = split_url(url)
    return given.parts.scheme == "unix" or all(_is_loopback_host(host or "localhost") for host, _ in given.addresses)


def _is_loopback_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _has_password(url: str) -> bool:
    parts = split_url(url).parts
    return bool(parts.password) or bool(parse_qs(parts.query).get("password"))


async def _facts(client: RedisClient, url: str, patience_ms: int) -> dict[str, str]:
    loop, clock = asyncio.get_running_loop(), SystemClock()
    give_up, wait_ms = loop.time() + patience_ms / 1000, FIRST_WAIT_MS
    while True:
        try:
            facts = read_facts(await client.execute_command("INFO"))
            if not is_loading(facts):
                return facts
            if loop.time() + wait_ms / 1000 > give_up:
                # Whoever is patient waits on. Whether it keeps a log cannot be told yet.
                return {name: fact for name, fact in facts.items() if name != "aof_enabled"}
        except LOST as error:
            if wants_password(error):
                raise password_refused(url, error) from None
            if _is_about_certificates(error):
                raise ServerRefusedError(url, f"its certificate is not accepted ({_plain(error)})", _TLS_CURE) from None
            if isinstance(error.__context__, NOBODY) or loop.time() + wait_ms / 1000 > give_up:
                raise ServerUnreachableError(url, _plain(error)) from None
        except RefusedByServer as error:
            raise _refusal(error, url) from None
        await clock.sleep_ms(wait_ms)
        wait_ms = min(wait_ms * 2, LONGEST_WAIT_MS)


def _refusal(error: Exception, url: str) -> ServerRefusedError:
    if reply_word(error) in _PASSWORD_WORDS:
        return password_refused(url, error)
    return ServerRefusedError(url, f"it does not answer as Redis does ({_plain(error)})", "Check host and port.")


def _is_about_certificates(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _plain(error: BaseException) -> str:
    return str(error) or type(error).__name__


def read_facts(info: object) -> dict[str, str]:
    """The facts in a reply to INFO, whose form depends on whether the client library has parsed it."""
    if isinstance(info, dict):
        return {str(k): str(v) for k, v in cast("dict[object, object]", info).items()}
    lines = cast(bytes, info).decode("utf-8", "replace").splitlines()
    return {k: v for k, _, v in (line.partition(":") for line in lines)}
