"""Submit one spread run to the workers; say what begins where, then print the result as JSON.

Usage: python apps/spread/driver.py [N [PAUSE_S]]
"""

import asyncio
import json
import sys

from apps.spread.app import Began, workflow


async def main(n: int, pause_s: float) -> None:
    """Run ``n`` parallel steps of ``pause_s`` seconds each on the workers behind ``BROKER_WF_URL``."""
    handler = workflow.run(n=n, pause_s=pause_s)
    async for event in handler.stream_events():
        if isinstance(event, Began):
            print(f"began {event.index} on {event.host}", file=sys.stderr, flush=True)
    print(json.dumps(await handler, sort_keys=True))


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(main(int(given[0]) if given else 60, float(given[1]) if len(given) > 1 else 0.2))
