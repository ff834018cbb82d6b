from __future__ import annotations

import threading
from pathlib import Path

import pytest

from apps.approval.piece import Piece, publish, revised, text_of

PIECE = Piece(title="New hours", points=["We open at nine.", "Sundays we are closed."])


@pytest.mark.parametrize(
    ("comment", "title", "points", "remarks"),
    [
        ("title: Opening hours", "Opening hours", PIECE.points, []),
        ("add: Parking is free.", "New hours", [*PIECE.points, "Parking is free."], []),
        ("1: We open at ten.", "New hours", ["We open at ten.", PIECE.points[1]], []),
        ("drop: 1", "New hours", [PIECE.points[1]], []),
        ("drop: 1\n2: Closed on Sundays.", "New hours", ["Closed on Sundays."], []),
        ("Could it be friendlier?", "New hours", PIECE.points, ["Could it be friendlier?"]),
        ("3: There is no third point.", "New hours", PIECE.points, ["3: There is no third point."]),
        ("drop: it", "New hours", PIECE.points, ["drop: it"]),
        ("  \n", "New hours", PIECE.points, []),
    ],
)
def test_a_line_of_a_comment_is_an_edit_or_a_remark(
    comment: str, title: str, points: list[str], remarks: list[str]
) -> None:
    assert revised(PIECE, comment) == Piece(title=title, points=points, remarks=remarks)


def test_remarks_of_the_version_before_are_gone() -> None:
    assert revised(revised(PIECE, "Friendlier!"), "add: You are welcome.").remarks == []


def test_the_text_has_a_heading_and_no_remarks() -> None:
    assert text_of(revised(PIECE, "Friendlier!")) == "# New hours\n\nWe open at nine.\n\nSundays we are closed.\n"


def test_one_approval_is_published_once_however_often_it_is_tried(tmp_path: Path) -> None:
    first, wrote = publish(PIECE, tmp_path / "new", "run/delivery")
    again, wrote_again = publish(PIECE, tmp_path / "new", "run/delivery")
    assert (first, wrote, wrote_again) == (again, True, False)
    assert [path.read_text() for path in (tmp_path / "new").iterdir()] == [text_of(PIECE)]


def test_another_approval_of_the_same_text_is_another_file(tmp_path: Path) -> None:
    assert publish(PIECE, tmp_path, "run/one")[0] != publish(PIECE, tmp_path, "run/two")[0]


def test_of_many_who_publish_one_approval_at_one_time_one_writes(tmp_path: Path) -> None:
    gate, wrote = threading.Barrier(8), list[bool]()

    def work() -> None:
        gate.wait()
        wrote.append(publish(PIECE, tmp_path, "run/delivery")[1])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wrote) == [False] * 7 + [True]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_title_without_letters_has_a_file_too(tmp_path: Path) -> None:
    assert publish(Piece(title="?!", points=[]), tmp_path, "k")[0].name.startswith("untitled-")
