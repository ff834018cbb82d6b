"""The commands in the READMEs of the example apps, typed as they stand there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from tests.integration.console import ROOT, Console, until

APPS = ROOT / "workers" / "apps"
WITH_COMMANDS = sorted(path.parent.name for path in APPS.glob("*/README.md") if "```sh" in path.read_text())
"""Those of ``served`` are typed beside containers, in ``tests/docker``."""
PATIENCE_S = 100.0
DEMO = "make demo"
"""Runs in the pipeline, as it stands."""
QUESTIONS = "workers/apps/search/questions.txt"
FEWER = "How do I wrap text to a width?\nHow do I parse JSON from a string?\n"
"""Instead of two hundred questions."""


@dataclass(slots=True)
class Terminal:
    """A shell in a copy of the project's root, on a bundled server of its own.

    Attributes:
        said: what each command printed, in order.
    """

    folder: Path
    logs: Path
    variables: dict[str, str]
    workers: list[subprocess.Popen[str]] = field(default_factory=list["subprocess.Popen[str]"])
    said: list[str] = field(default_factory=list[str])

    def type(self, command: str, *, stays: bool) -> None:
        """Type a command; one that stays is left running."""
        if stays:
            log = self.logs / f"worker-{len(self.workers)}.log"
            with log.open("w") as sink:
                self.workers.append(self._begin(command, sink))
            until(lambda: " serves " in log.read_text(), within_s=PATIENCE_S)
            return
        process = self._begin(command, subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        assert process.returncode == 0, f"{command}\n{out}\n{err}"
        self.said.append(out)

    def _begin(self, command: str, sink: int | IO[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/bash", "-c", f"exec env {command}"],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            text=True,
        )

    def close(self) -> None:
        """Stop the workers as a person would."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for number, worker in enumerate(self.workers):
            code = worker.wait(timeout=30)
            assert code == 0, (self.logs / f"worker-{number}.log").read_text()


@pytest.fixture
def terminal(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "workers").symlink_to(ROOT / "workers")
    (folder / "home" / "notes").mkdir(parents=True)
    (folder / "home" / "notes" / "keys.md").write_text("# Keys\n\nWe have put the keys into the blue box.\n")
    (folder / "few.txt").write_text(FEWER)
    variables = Console("", "", tmp_path / "data").environment(
        PATH=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        HOME=str(folder / "home"),
        APP_CACHE=str(tmp_path_factory.getbasetemp() / "index-of-readmes"),
    )
    made = Terminal(folder, tmp_path, variables)
    try:
        yield made
    finally:
        made.close()


def commands(app: str) -> list[str]:
    """The lines of the shell blocks of an app's README, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (APPS / app / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = (re.sub(r"\s+#.*$", "", line) for block in blocks for line in block.splitlines())
    return [line for line in lines if line and line != DEMO]


def wait_for_version(terminal: Terminal, number: int) -> None:
    """Wait until a version of the only text waits for an answer."""

    def is_pending() -> bool:
        terminal.type("python workers/apps/approval/driver.py pending --json", stays=False)
        return f'"version": {number},' in terminal.said.pop()

    until(is_pending)


@pytest.mark.parametrize("app", WITH_COMMANDS)
def test_the_commands_of_a_readme_work_in_their_order(app: str, terminal: Terminal) -> None:
    run_id, answers = "", 0
    for line in commands(app):
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            terminal.variables[name] = value
            continue
        if app == "hello":
            terminal.folder = ROOT / "workers"
        if " answer " in line:
            answers += 1
            wait_for_version(terminal, answers)
        terminal.type(line.replace("RUN", run_id).replace(QUESTIONS, "few.txt"), stays="broker-wf worker" in line)
        if " submit " in line:
            run_id = terminal.said[-1].strip()
    assert terminal.workers
    assert EXPECTED[app] in terminal.said[-1]


EXPECTED = {
    "approval": '"status": "published"',
    "hello": "HELLO, ADA!",
    "refine": '"question": "How do I send an email over SMTP?"',
    "search": "blue box",
}
