"""``Workflow[Start, Stop]`` tells pyright what ``run()`` takes and gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from broker_wf.events import StartEvent, StopEvent
from tests.unit.typed.samples import Answer, Ask, Half, Plain, Typed

HERE = Path(__file__).parent


def test_pyright_knows_what_a_typed_run_takes_and_gives() -> None:
    pyright = Path(sys.executable).with_name("pyright")
    files = [str(HERE / "samples.py"), str(HERE / "wrong.py")]
    told = subprocess.run(
        [str(pyright), "--pythonpath", sys.executable, *files],
        capture_output=True,
        text=True,
        cwd=HERE.parents[2],
        check=False,
    )
    assert told.returncode == 0, told.stdout


def test_a_typed_workflow_has_the_classes_of_its_steps() -> None:
    assert (Typed().start_event_class, Typed().stop_event_class) == (Ask, Answer)
    assert (Half().start_event_class, Half().stop_event_class) == (Ask, StopEvent)
    assert (Plain().start_event_class, Plain().stop_event_class) == (StartEvent, StopEvent)
