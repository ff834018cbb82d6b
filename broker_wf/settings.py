"""Every knob: unit, default, variable ``BROKER_WF_<FIELD>``. Only this and ``address.py`` read the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

from broker_wf.address import PREFIX, Address
from broker_wf.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set. ``Settings.load()`` reads the environment; arguments win over it.

    Raises:
        SettingsError: a value is out of its range; names the field, the value and the range.
    """

    url: str | None = None
    """The server: ``redis://``, ``rediss://`` (TLS), ``unix://``, ``redis+sentinel://host:port,host:port/service`` for
    the master that sentinels name (``rediss+sentinel://`` over TLS), or ``bundled://`` for the bundled one. None: the
    bundled one, and runs execute in the process that starts them."""
    password_file: str | None = None
    """A file whose first line is the server's password, for a URL that holds none."""
    allow_insecure: bool = False
    """Use a server on another machine that lets anybody in without a password."""
    allow_volatile: bool = False
    """Use a server on another machine that keeps no log (``appendonly no``) and so loses runs when it restarts."""
    signing_key: str = field(default="", repr=False)
    """Keys joined by commas, the same in drivers and workers: the first signs events, results and state, and what none
    of them has signed is refused. At least 16 characters each; ``unsigned`` in place of one stands for no signature.
    Empty: nothing is signed. See ``docs/security.md``."""
    durability: str = "none"
    """Where a submitted run, an event sent to one and a run's end must be before they are reported: ``none``, on the
    server, whose power loss or failover may cost the last second; ``replicated``, on a replica too, so that no failover
    to it takes them back; ``fsync``, on the server's disk (Redis 7.2 or later, or Valkey)."""
    namespace: str = "default"
    """Prefix of every key. Letters, digits, ``. _ -``."""
    data: str = ""
    """Directory of the bundled server. Empty: ``broker_wf`` in the user's data directory."""
    server_bin: str | None = None
    """Binary the bundled server runs: ``valkey-server`` or ``redis-server`` 7.0 or later. None: found by itself."""
    concurrency: int = 64
    """Deliveries one worker process executes at one time; also the threads for steps that are not async."""
    processes: int = 1
    """Worker processes under one ``broker-wf worker``."""
    lease_ms: int = 15_000
    """How long a delivery stays a worker's without a renewal. Renewed every third of it. At least 300."""
    stall_limit_ms: int = 60_000
    """How long the event loop of a ``broker-wf worker`` may stand still; then its leases are renewed no longer, and one
    lease later the process is ended."""
    renewal_process: int = 1
    """Whether the leases of a ``broker-wf worker`` are renewed by a process of their own, which code that holds the
    interpreter's lock cannot stop. 0: by a thread, as those of in-process runs are."""
    sweep_ms: int = 1_000
    """How often a worker looks for what is due."""
    audit_ms: int = 60_000
    """How often a worker holds indexes against the truth, give or take half of it."""
    heartbeat_ms: int = 5_000
    """How often a worker says that it is alive; it counts as alive for three times as long."""
    max_crashes: int = 3
    """Leases of one delivery that may run out; then it is a dead letter and its run fails."""
    skew_timeout_ms: int = 600_000
    """How long a run waits for a worker that has its version while others have another; then it fails. 0: for ever."""
    queued_check_ms: int = 30_000
    """When a delivery that waits in a stream is checked for being there."""
    dispatch_window: int = 1_000
    """Deliveries of one run in streams at one time; the rest waits in the run's backlog."""
    max_live_runs: int = 0
    """Live runs of one workflow beyond which submits are refused. 0: no limit."""
    drain_timeout_ms: int = 25_000
    """How long a worker that was told to stop lets its steps go on."""
    keep_ms: int = 24 * 3_600_000
    """How long a completed run is kept."""
    keep_failed_ms: int = 7 * 24 * 3_600_000
    """How long a run is kept that failed, timed out or was cancelled."""
    block_ms: int = 2_000
    """Longest blocked read. Each is followed by a look at the state."""
    socket_timeout_ms: int = 5_000
    """How long a reply may take, besides the time a read may block."""
    connect_timeout_ms: int = 5_000
    """How long a driver tries to reach a server that accepts its connection; once it has, as workers do, for ever."""
    max_bytes: int = 32 * 1024 * 1024
    """Largest encoded event, state value or result."""
    compress_from: int = 64 * 1024
    """Encoded values from this size on are compressed. Bytes."""
    blob_from: int = 256 * 1024
    """A field of an event that is longer when encoded is kept once per run, and events refer to it. Bytes."""
    linger_ms: int = 3_000
    """How long the bundled server outlives its last user."""
    no_worker_warning_ms: int = 2_000
    """When a driver warns that nobody serves the workflow it submitted."""
    run_logs: int = 1_000
    """How many lines are kept of what the steps of a run have logged, the last ones. 0: none."""
    keep_steps: bool = True
    """What became of each delivery is kept with a run that workers execute, so that it can be done again from any step.
    Costs 0.3 KiB and more of memory for each, and some hundredths of the server's time."""
    health_file: str | None = None
    """A file that a worker touches while its claim loop is alive."""
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise SettingsError(name, getattr(self, name), f"must be at least {least}")
        if not self.namespace or not all(c.isalnum() or c in "._-" for c in self.namespace):
            raise SettingsError("namespace", self.namespace, "may hold letters, digits, '.', '_' and '-'")
        if self.durability not in _DURABILITIES:
            raise SettingsError("durability", self.durability, f"must be one of {', '.join(_DURABILITIES)}")
        if self.durability == "replicated" and self.is_bundled:
            raise SettingsError("durability", self.durability, "the bundled server has no replica; give a URL")
        if self.signing_key and not all(_is_key(word.strip()) for word in self.signing_key.split(",")):
            raise SettingsError(
                "signing_key", "…", f"must be keys of {_SHORTEST_KEY} characters or more, or 'unsigned'"
            )
        self.address.check()

    @classmethod
    def load(cls, **given: object) -> Settings:
        """Settings from ``BROKER_WF_*`` and from arguments, which win; an argument that is None is not given.

        Raises:
            SettingsError: an unknown argument, or a value that does not fit its field.
        """
        return _loaded(_surroundings.ours(), tuple((name, type(value), value) for name, value in given.items()))

    @classmethod
    def of(cls, source: Mapping[str, str], given: Mapping[str, object]) -> Settings:
        """As :meth:`load`, with the variables of ``source``."""
        known = {one.name: one for one in fields(cls)}
        values: dict[str, object] = {}
        for name, one in known.items():
            text = source.get(PREFIX + name.upper())
            if text is not None and text != "":
                values[name] = _parsed(name, str(one.type), text)
        for name, value in given.items():
            if name not in known:
                raise SettingsError(name, value, f"is not a setting; there are {', '.join(known)}")
            if value is not None:
                values[name] = value
        return cls(**values)  # pyright: ignore[reportArgumentType]

    @property
    def address(self) -> Address:
        """Those that say which server is meant."""
        return Address(self.url, self.password_file, self.data)

    @property
    def data_dir(self) -> Path:
        """Where the bundled server keeps its data."""
        return self.address.data_dir

    @property
    def is_bundled(self) -> bool:
        """Whether the server is the bundled one."""
        return self.address.is_bundled

    @property
    def full_url(self) -> str:
        """The URL with the password of ``password_file`` in it.

        Raises:
            SettingsError: the file cannot be read.
        """
        return self.address.full_url


class _Surroundings:
    """The variables that are ours, gone through again only where one of the environment has changed: each run asks."""

    def __init__(self) -> None:
        self._seen: object = None
        self._ours: tuple[tuple[str, str], ...] = ()

    def ours(self) -> tuple[tuple[str, str], ...]:
        # To go through a mapping of encoded names takes 20 times as long as to compare two.
        encoded = getattr(os.environ, "_data", None)
        if encoded is None or encoded != self._seen:
            self._ours = tuple((name, os.environ[name]) for name in os.environ if name.startswith(PREFIX))
            self._seen = dict(encoded) if encoded is not None else None
        return self._ours


_surroundings = _Surroundings()


@lru_cache(maxsize=16)
def _loaded(source: tuple[tuple[str, str], ...], given: tuple[tuple[str, type, object], ...]) -> Settings:
    """Each run asks; the environment seldom says something new. The type is given because True equals 1."""
    return Settings.of(dict(source), {name: value for name, _, value in given})


def _is_key(word: str) -> bool:
    return word == "unsigned" or len(word) >= _SHORTEST_KEY


_SHORTEST_KEY = 16
_DURABILITIES = ("none", "replicated", "fsync")
_TRUTHS = {True: ("1", "true", "yes", "on"), False: ("0", "false", "no", "off")}
_LEAST = {
    "concurrency": 1,
    "processes": 1,
    "lease_ms": 300,
    "stall_limit_ms": 300,
    "renewal_process": 0,
    "sweep_ms": 10,
    "audit_ms": 50,
    "heartbeat_ms": 50,
    "max_crashes": 1,
    "skew_timeout_ms": 0,
    "queued_check_ms": 100,
    "dispatch_window": 1,
    "max_live_runs": 0,
    "drain_timeout_ms": 0,
    "keep_ms": 1,
    "keep_failed_ms": 1,
    "block_ms": 10,
    "socket_timeout_ms": 100,
    "connect_timeout_ms": 50,
    "max_bytes": 1024,
    "compress_from": 1024,
    "blob_from": 1024,
    "linger_ms": 0,
    "no_worker_warning_ms": 0,
    "run_logs": 0,
}


def _parsed(name: str, kind: str, text: str) -> object:
    if kind == "bool":
        return _truth(name, text)
    if not kind.startswith("int"):
        return text
    try:
        return int(text)
    except ValueError:
        raise SettingsError(PREFIX + name.upper(), text, "must be a whole number") from None


def _truth(name: str, text: str) -> bool:
    for value, words in _TRUTHS.items():
        if text.strip().lower() in words:
            return value
    raise SettingsError(PREFIX + name.upper(), text, "must be 1 or 0")
