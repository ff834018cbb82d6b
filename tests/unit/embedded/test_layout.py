from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from broker_wf.embedded.layout import SOCKET_PATH_MAX_BYTES, config_text, layout_of

LONG = Path("/") / ("d" * 150)


def test_the_socket_lies_in_the_data_directory() -> None:
    assert layout_of(Path("/data"), None).socket == Path("/data/s.sock")


def test_a_socket_path_of_exactly_the_limit_is_kept() -> None:
    directory = Path("/") / ("d" * (SOCKET_PATH_MAX_BYTES - len("//s.sock")))
    assert layout_of(directory, None).socket.parent == directory


def test_a_socket_path_of_one_byte_more_is_replaced() -> None:
    directory = Path("/") / ("d" * (SOCKET_PATH_MAX_BYTES - len("//s.sock") + 1))
    assert layout_of(directory, Path("/run/u")).socket.is_relative_to("/run/u")


def test_the_limit_counts_bytes_and_not_characters() -> None:
    directory = Path("/") / ("ü" * 60)
    assert layout_of(directory, Path("/run/u")).socket.is_relative_to("/run/u")


def test_a_replaced_socket_path_fits() -> None:
    assert len(os.fsencode(layout_of(LONG, Path("/run/user/1000")).socket)) <= SOCKET_PATH_MAX_BYTES


def test_without_a_runtime_directory_the_socket_goes_to_the_temporary_one() -> None:
    assert layout_of(LONG, None).socket.is_relative_to(tempfile.gettempdir())


def test_two_long_directories_have_two_sockets() -> None:
    assert layout_of(LONG / "a", None).socket != layout_of(LONG / "b", None).socket


@pytest.mark.parametrize(
    "line",
    [
        "port 0",
        'unixsocket "/data/s.sock"',
        "unixsocketperm 700",
        'dir "/data"',
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "aof-use-rdb-preamble no",
        "aof-load-truncated yes",
        "maxmemory-policy noeviction",
        "lazyfree-lazy-expire yes",
    ],
)
def test_the_configuration_has(line: str) -> None:
    assert line.encode() in config_text(layout_of(Path("/data"), None)).splitlines()


def test_a_path_with_quotes_and_backslashes_is_escaped() -> None:
    assert rb'dir "/a\"b\\c d"' in config_text(layout_of(Path('/a"b\\c d'), None)).splitlines()


def test_a_path_that_is_no_text_keeps_its_bytes() -> None:
    assert b'dir "/a\xff"' in config_text(layout_of(Path(os.fsdecode(b"/a\xff")), None)).splitlines()


def test_the_data_are_all_files_of_the_log(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, None)
    assert layout.data_bytes == 0
    layout.manifest.parent.mkdir()
    layout.manifest.write_bytes(b"x" * 10)
    (layout.manifest.parent / "appendonly.aof.1.incr.aof").write_bytes(b"x" * 1000)
    assert layout.data_bytes == 1010
