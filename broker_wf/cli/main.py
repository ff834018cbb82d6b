"""Where ``broker-wf`` begins. Imports next to nothing: a health check is run every few seconds."""

from __future__ import annotations

import sys
from importlib import import_module

_HEALTH = "health"


def main() -> int:
    """Run the command line of this process; the console script's entry point.

    Returns:
        The exit code: 0 done, 1 the run or a check failed, 2 usage, 3 the app cannot be imported, 4 no usable
        server, 5 not found, 6 conflict, 7 timed out waiting, 8 cancelled, 69 no live worker, 130 interrupted.
    """
    arguments = sys.argv[1:]
    quick = arguments[:1] == [_HEALTH] and "--help" not in arguments
    module = import_module("broker_wf.cli.health" if quick else "broker_wf.cli.group")
    code: int = module.main(arguments[1:] if quick else arguments)
    return code
