"""``python -m broker_wf`` is ``broker-wf``."""

import sys

from broker_wf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
