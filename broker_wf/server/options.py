"""How a server answers, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What can be set of a server.

    Attributes:
        token: whoever shows it may do everything; None: everybody may.
        read_token: whoever shows it may look.
        read_only: nobody may do more than look.
        allowed_hosts: names under which the server may be asked for, without ports; None: any. It keeps a web site
            from reaching a server without a token through the browser of somebody on the same machine.
        allowed_origins: of pages of other sites whose scripts may ask, without credentials of the browser.
        run_keepalive: a ``/run`` that lasts longer than 4 s is answered with status 200 and spaces until it ends.
        heartbeat_s: how often a quiet stream says that it lives; None: never.
        accept_context: ``context`` in the body of a run is taken.
        max_body_bytes: of a request; more is refused with 413.
        max_header_bytes: of all headers of a request; more is refused with 431.
        rate: requests of one address per second, on average over two of them; more are refused with 429. 0: any.
        debugger_assets: folder with the files of ``@llamaindex/workflow-debugger``, which is at ``/debugger/`` then.
        root_path: where a proxy mounts the server.
    """

    token: str | None = None
    read_token: str | None = None
    read_only: bool = False
    allowed_hosts: tuple[str, ...] | None = None
    allowed_origins: tuple[str, ...] = ()
    run_keepalive: bool = True
    heartbeat_s: float | None = 25.0
    accept_context: bool = False
    max_body_bytes: int = 32 * 1024 * 1024
    max_header_bytes: int = 32 * 1024
    rate: int = 0
    debugger_assets: Path | None = None
    root_path: str = ""
