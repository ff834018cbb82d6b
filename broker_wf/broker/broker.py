"""A namespace on a server: the bundle of its stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker_wf.broker.blobs import BlobStore
from broker_wf.broker.changes import ChangeQueue
from broker_wf.broker.claims import ClaimStore
from broker_wf.broker.clients import RedisClient
from broker_wf.broker.connection import Pipe, Timeouts, async_client
from broker_wf.broker.context_state import ContextStateStore
from broker_wf.broker.deliveries import DeliveryStore
from broker_wf.broker.feed import FeedStore
from broker_wf.broker.keys import Keys
from broker_wf.broker.kinds import RunLimits
from broker_wf.broker.letters import LetterStore
from broker_wf.broker.logs import LogStore
from broker_wf.broker.reruns import RerunStore
from broker_wf.broker.roster import RosterStore
from broker_wf.broker.runs import RunStore
from broker_wf.broker.schedule import ScheduleStore
from broker_wf.broker.seal import seal_of
from broker_wf.broker.server_check import Admission, check_server
from broker_wf.broker.snapshots import SnapshotStore
from broker_wf.broker.waits import WaitStore
from broker_wf.settings import Settings
from broker_wf.wire.signing import signer_for

PARTITIONS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The stores of one namespace, for one event loop. Has no methods."""

    url: str
    keys: Keys
    timeouts: Timeouts
    pipe: Pipe
    admission: Admission
    runs: RunStore
    claims: ClaimStore
    deliveries: DeliveryStore
    blobs: BlobStore
    waits: WaitStore
    state: ContextStateStore
    feed: FeedStore
    roster: RosterStore
    schedule: ScheduleStore
    snapshots: SnapshotStore
    letters: LetterStore
    logs: LogStore
    reruns: RerunStore


async def open_broker(
    settings: Settings, url: str, *, patience_s: float | None, revive: Callable[[], object] | None = None
) -> Broker:
    """Connect to a namespace.

    Args:
        url: the server's, with its password.
        patience_s: how long a lost server is waited for; None: for ever.
        revive: starts a bundled server again.

    Raises:
        ServerUnreachableError: the server does not answer.
        ServerRefusedError: it would lose work, lets anybody in or wants another password, or the namespace is
            of another version.
    """
    timeouts = Timeouts(
        socket_ms=settings.socket_timeout_ms,
        connect_ms=settings.connect_timeout_ms,
        block_ms=settings.block_ms,
    )
    admission = Admission(url, settings)
    client = async_client(url, timeouts, admit=admission.admit)
    keys = Keys(settings.namespace)
    try:
        await check_server(client, admission)
        pipe = Pipe(url=url, client=client, keys=keys, patience_s=patience_s, revive=revive)
        seal = seal_of(settings.durability, keys, settings.socket_timeout_ms)
        if seal is not None:
            beside = async_client(url, timeouts, admit=admission.admit)
            pipe.sealing = Pipe(url=url, client=beside, keys=keys, patience_s=patience_s, revive=revive, seal=seal)
        roster = RosterStore(pipe)
        await roster.check_protocol(PARTITIONS)
    except BaseException:
        await client.aclose()
        raise
    blobs, runs = BlobStore(pipe), RunStore(pipe, _limits(settings))
    reruns = RerunStore(pipe, runs, roster, signer_for(settings.signing_key, settings.namespace))
    return Broker(
        url=url,
        keys=keys,
        timeouts=timeouts,
        pipe=pipe,
        admission=admission,
        runs=runs,
        claims=ClaimStore(pipe),
        deliveries=DeliveryStore(pipe, blobs),
        blobs=blobs,
        waits=WaitStore(pipe, blobs),
        state=ContextStateStore(pipe, ChangeQueue(pipe)),
        feed=FeedStore(pipe),
        roster=roster,
        schedule=ScheduleStore(pipe),
        snapshots=SnapshotStore(pipe, timeouts),
        letters=LetterStore(pipe, reruns),
        logs=LogStore(pipe),
        reruns=reruns,
    )


def blocked_client(broker: Broker) -> RedisClient:
    """A client for blocked reads; it looks at the server at each new connection, as the broker's own does."""
    return async_client(broker.url, broker.timeouts, blocked=True, admit=broker.admission.admit)


def _limits(settings: Settings) -> RunLimits:
    return RunLimits(
        keep_ms=settings.keep_ms,
        keep_failed_ms=settings.keep_failed_ms,
        window=settings.dispatch_window,
        queued_check_ms=settings.queued_check_ms,
        max_live_runs=settings.max_live_runs,
        keep_steps=settings.keep_steps,
    )
