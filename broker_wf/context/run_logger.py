"""The logger of a run: what ``ctx.logger`` is, from INFO on unless somebody has said otherwise."""

from __future__ import annotations

import logging

run_logger = logging.getLogger("broker_wf.run")
if run_logger.level == logging.NOTSET:
    run_logger.setLevel(logging.INFO)
