"""The leases of a worker, renewed by a process of their own: code that holds the interpreter's lock loses nothing."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import cast

import msgpack

from broker_wf.broker.broker import Broker
from broker_wf.broker.packing import pack
from broker_wf.broker.renewal import LeaseKey
from broker_wf.broker.server_check import lenience
from broker_wf.settings import Settings
from broker_wf.worker.active import Active, ActiveSet
from broker_wf.worker.leases import LeaseThread
from broker_wf.worker.renewer import INIT

log = logging.getLogger("broker_wf.worker")

_COMMAND = (sys.executable, "-m", "broker_wf.worker.renewer")
_LONGEST_TICK_S = 1.0
_AGAIN_AFTER_S = 1.0
_ENDS_WITHIN_S = 1.0
_MOST_UNREAD = 16 * 1024 * 1024


class LeaseProcess:
    """Tells a process what to renew, and has a thread renew while there is none."""

    def __init__(
        self, broker: Broker, settings: Settings, active: ActiveSet, on_lost: Callable[[Active], None]
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            on_lost: called for a delivery that is no longer ours.
        """
        self._broker, self._settings, self._active, self._on_lost = broker, settings, active, on_lost
        self._loop = asyncio.get_running_loop()
        self._thread = LeaseThread(broker, settings, active, on_lost, self._thread_rests)
        self._renews = False
        self._ticked = self._loop.time()
        self._process: subprocess.Popen[bytes] | None = None
        self._unpacker = msgpack.Unpacker(raw=False)
        self._begun: list[object] = []
        self._over: list[LeaseKey] = []
        self._stopped: list[LeaseKey] = []
        self._unread = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._begin()
        self._tick()

    def begins(self, active: Active) -> None:
        """The execution of a delivery is about to begin, in a later turn of the event loop: it is told of before."""
        if not self._begun:
            self._loop.call_soon(self._tell)
        self._begun.append((active.key, active.timeout_ms, active.place))

    def stopping(self, active: Active) -> None:
        """A delivery is no longer ours; its code still runs."""
        self._stopped.append(active.key)

    def over(self, active: Active) -> None:
        """The code of a delivery has ended."""
        self._over.append(active.key)

    def _tell(self) -> None:
        """Pass on what has begun in the last turn, and what else has happened since the last word."""
        if self._begun:
            self._send()

    async def close(self) -> None:
        """End the process and the thread."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if os.getpid() == INIT:
            faulthandler.cancel_dump_traceback_later()
        await self._thread.close()
        process = self._forget()
        if process is not None:
            await asyncio.to_thread(_end, process)

    def _begin(self) -> None:
        """Start the process and tell it everything."""
        if self._closed:
            return
        try:
            process = subprocess.Popen(
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
            )
        except OSError as error:
            log.warning("leases are renewed by a thread: no process can be started for it: %s", error)
            self._loop.call_later(_AGAIN_AFTER_S, self._begin)
            return
        self._process, self._unpacker = process, msgpack.Unpacker(raw=False)
        for fd in _fds(process):
            os.set_blocking(fd, False)
        self._loop.add_reader(_fds(process)[1], self._hear)
        plan = {
            "url": self._broker.url,
            "namespace": self._broker.keys.namespace,
            "timeouts": asdict(self._broker.timeouts),
            "lenient": lenience(self._settings),
            "lease_ms": self._settings.lease_ms,
            "stall_limit_ms": self._settings.stall_limit_ms,
            "pid": os.getpid(),
        }
        executing = self._active.all()
        self._begun = [(one.key, one.timeout_ms, one.place) for one in executing]
        self._over, self._stopped = [], [one.key for one in executing if one.stopped is not None]
        self._unread = bytearray(pack(plan))
        self._send()

    def _thread_rests(self) -> bool:
        return self._renews or (self._loop.time() - self._ticked) * 1000 > self._settings.stall_limit_ms

    def _tick(self) -> None:
        """Say that the event loop turns."""
        self._ticked = self._loop.time()
        self._send()
        if os.getpid() == INIT:
            patience_ms = self._settings.stall_limit_ms + 2 * self._settings.lease_ms
            faulthandler.dump_traceback_later(patience_ms / 1000, exit=True)
        every_s = min(_LONGEST_TICK_S, self._settings.lease_ms / 6000, self._settings.stall_limit_ms / 4000)
        self._timer = self._loop.call_later(every_s, self._tick)

    def _send(self) -> None:
        news = pack([self._begun, self._over, self._stopped])
        self._begun, self._over, self._stopped = [], [], []
        process = self._process
        if process is None:
            return
        self._unread += news
        # A process that has died is noticed where its answers are heard.
        with suppress(BlockingIOError, BrokenPipeError):
            while self._unread:
                del self._unread[: os.write(_fds(process)[0], self._unread)]
        if len(self._unread) > _MOST_UNREAD:
            process.kill()

    def _hear(self) -> None:
        """Take in what the process says."""
        process = self._process
        if process is None:
            return
        try:
            part = os.read(_fds(process)[1], 65_536)
        except BlockingIOError:
            return
        if not part:
            self._replace(process)
            return
        self._renews = True
        self._unpacker.feed(part)
        for lost, note in cast("Iterable[tuple[list[list[str]], str]]", self._unpacker):
            if note:
                log.warning("%s", note)
            for key in lost:
                active = self._active.get((key[0], key[1], key[2]))
                if active is not None:
                    self._on_lost(active)

    def _replace(self, process: subprocess.Popen[bytes]) -> None:
        self._renews = False
        self._forget()
        process.kill()
        log.warning(
            "the process that renews leases died with %d; a thread renews until there is another", process.wait()
        )
        self._loop.call_later(_AGAIN_AFTER_S, self._begin)

    def _forget(self) -> subprocess.Popen[bytes] | None:
        """Hang up. The process ends by itself then."""
        process, self._process = self._process, None
        if process is not None:
            self._loop.remove_reader(_fds(process)[1])
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        return process


def _fds(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin.fileno(), process.stdout.fileno()


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
