from __future__ import annotations

import pytest

from apps.refine.criteria import Claim, claims, score, written
from apps.refine.drafting import ChatDrafter, Draft, QuotingDrafter, asked_again, make_drafter
from apps.search.answer import Passage

QUESTION = "How do I merge sorted iterables?"
MERGE = "Merge multiple sorted inputs into a single sorted output."
CHAIN = "Chain makes one iterator of several iterables."
PASSAGES = [
    Passage(source="heapq", title="heapq.merge", text=f"merge(*iterables)\n\n{MERGE}\nSimilar to sorted.", score=0.1),
    Passage(source="itertools", title="itertools.chain", text=f"chain(*iterables)\n\n{CHAIN}", score=0.05),
]


def line(quote: str, number: int, title: str) -> str:
    return f'"{quote}" [{number}] {title}'


def criterion(name: str, *lines: str) -> float:
    return score(QUESTION, "\n".join(lines), PASSAGES).criteria[name]


GOOD = (line(MERGE, 1, "heapq.merge"), line(CHAIN, 2, "itertools.chain"))


def test_an_answer_is_read_back_as_it_was_written() -> None:
    found = [Claim(quote='Say "yes" [1] now.', passage=2, title="a.b"), Claim(quote="So.", passage=1, title="")]
    assert claims(written(found)) == found


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        (GOOD, 1.0),
        ((GOOD[0], line(CHAIN, 1, "heapq.merge")), 0.5),
        ((GOOD[0], line("Chain makes one iterator of many iterables.", 2, "itertools.chain")), 0.5),
        ((GOOD[0], "This is my own opinion."), 0.5),
        ((line(MERGE, 3, "heapq.merge"),), 0.0),
        ((line("", 1, "heapq.merge"),), 0.0),
    ],
)
def test_a_sentence_counts_as_quoted_only_if_it_stands_in_the_passage_it_names(
    answer: tuple[str, ...], share: float
) -> None:
    assert criterion("quoted", *answer) == share


def test_white_space_makes_no_difference_to_a_quotation() -> None:
    assert criterion("quoted", line(MERGE.replace(" ", "  "), 1, "heapq.merge")) == 1.0


def test_words_of_the_question_that_the_answer_lacks_are_named() -> None:
    judged = score(QUESTION, line("Similar to sorted.", 1, ""), PASSAGES)
    assert judged.missing == ["merge", "iterables"]
    assert judged.criteria["covered"] == pytest.approx(1 / 3, abs=1e-3)


def test_another_ending_or_a_synonym_covers_a_word() -> None:
    assert score("merging folders", line("It merges a directory.", 1, ""), PASSAGES).missing == ["folders"]
    assert score("merging a folder", line("It merges a directory.", 1, ""), PASSAGES).missing == []


def test_a_signature_is_no_whole_sentence() -> None:
    assert criterion("whole", GOOD[0], line("merge(*iterables)", 1, "heapq.merge")) == 0.5


def test_an_answer_from_two_sources_is_half_focused() -> None:
    assert criterion("focused", *GOOD) == 0.5


def test_a_sentence_said_again_in_other_order_is_a_duplicate() -> None:
    again = line("Multiple sorted inputs merge into a single sorted output.", 1, "heapq.merge")
    assert criterion("distinct", GOOD[0], again) == 0.5


def test_a_claim_must_name_the_title_of_its_passage() -> None:
    assert criterion("named", GOOD[0], line(CHAIN, 2, "heapq.merge")) == 0.5


def test_too_short_and_too_long_answers_lose_in_proportion() -> None:
    assert criterion("length", line("x" * 30, 1, "")) == 0.5
    assert criterion("length", line("x" * 1200, 1, "")) == 0.5
    assert criterion("length", line("x" * 600, 1, "")) == 1.0


def test_no_answer_has_no_score() -> None:
    judged = score(QUESTION, "", PASSAGES)
    assert (judged.total, judged.missing) == (0.0, ["merge", "sorted", "iterables"])


def test_the_total_is_one_exactly_when_every_criterion_is() -> None:
    assert score(QUESTION, line("Merge iterables which are sorted, into one sorted output.", 1, "t"), []).total < 1
    text = "Merge iterables which are sorted, into one sorted output of all."
    passage = Passage(source="s", title="t", text=text, score=1.0)
    judged = score(QUESTION, line(text, 1, "t"), [passage])
    assert (judged.total, set(judged.criteria.values())) == (1.0, {1.0})


async def test_a_refined_draft_of_the_same_passages_is_never_worse() -> None:
    drafter = QuotingDrafter()
    first = await drafter.draft(QUESTION, PASSAGES, None)
    judged = score(QUESTION, first, PASSAGES)
    better = await drafter.draft(QUESTION, PASSAGES, Draft(answer=first, score=judged))
    assert score(QUESTION, better, PASSAGES).total >= judged.total


async def test_without_passages_the_draft_is_empty() -> None:
    assert await QuotingDrafter().draft(QUESTION, [], None) == ""


def test_the_corpus_is_asked_for_what_is_missing_beside_what_was_found() -> None:
    titles = ["heapq.merge", "itertools.chain"]
    assert asked_again(QUESTION, ["iterables"], titles, 0) == "iterables heapq.merge"
    assert asked_again(QUESTION, ["iterables"], titles, 1) == "iterables itertools.chain"
    assert asked_again(QUESTION, [], [], 0) == "merge sorted iterables"


class Listening:
    """A writer that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def write(self, question: str, passages: list[Passage]) -> str:
        self.asked.append(question)
        return GOOD[0]


async def test_a_model_is_told_what_its_last_answer_lacked() -> None:
    writer = Listening()
    drafter = ChatDrafter(writer)
    await drafter.draft(QUESTION, PASSAGES, None)
    await drafter.draft(QUESTION, PASSAGES, Draft(answer="My opinion.", score=score(QUESTION, "My opinion.", PASSAGES)))
    first, second = writer.asked
    assert first.startswith(QUESTION)
    assert "last answer" not in first
    assert "My opinion." in second
    assert "quoted 0.00" in second
    assert "merge, sorted, iterables" in second


def test_an_endpoint_in_the_environment_makes_the_drafter_one_that_asks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_drafter(), QuotingDrafter)
    monkeypatch.setenv("APP_LLM_URL", "http://localhost:1/v1")
    assert isinstance(make_drafter(), ChatDrafter)
