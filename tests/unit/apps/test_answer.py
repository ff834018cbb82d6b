from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from apps.search.answer import (
    AnswerFailedError,
    ChatWriter,
    Passage,
    QuotingWriter,
    best_quotes,
    make_writer,
)
from apps.search.settings import Settings

CATS = Passage(source="s1", title="cats", text="Cats sleep.\nCats eat fresh fish at noon. They purr.", score=0.5)
DOGS = Passage(source="s2", title="dogs", text="walk(dog, fish)\n\nDogs like to be walked.", score=0.4)


def test_the_sentence_nearest_to_the_question_is_quoted() -> None:
    assert best_quotes("Which fish do cats eat?", [CATS]) == [(1, "Cats eat fresh fish at noon.")]


def test_prose_is_quoted_rather_than_a_signature() -> None:
    assert best_quotes("walk my dog", [DOGS]) == [(1, "Dogs like to be walked.")]


def test_at_most_three_passages_are_quoted() -> None:
    assert len(best_quotes("fish", [CATS, DOGS, CATS, DOGS])) == 3


async def test_the_answer_names_the_passage_of_each_quotation() -> None:
    answer = await QuotingWriter().write("Which fish do cats eat?", [CATS])
    assert answer == '"Cats eat fresh fish at noon." [1] cats'


async def test_without_passages_the_answer_says_so() -> None:
    assert await QuotingWriter().write("anything", []) == "Nothing in the corpus matches the question."


def test_without_an_endpoint_answers_are_quotations() -> None:
    assert isinstance(make_writer(), QuotingWriter)


class Endpoint(BaseHTTPRequestHandler):
    """A chat-completion endpoint that repeats how many characters it was shown."""

    status: ClassVar[int] = 200
    seen: ClassVar[list[tuple[str, str | None, object]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers.get("Authorization"), body))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(json.dumps({"choices": [{"message": {"content": "Fish [1]."}}]}).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Endpoint, "seen", [])
    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


async def test_an_endpoint_in_the_environment_writes_the_answer(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_LLM_URL", endpoint)
    monkeypatch.setenv("APP_LLM_MODEL", "tiny")
    monkeypatch.setenv("APP_LLM_KEY", "secret")
    assert await make_writer().write("Which fish?", [CATS]) == "Fish [1]."
    path, authorization, body = Endpoint.seen[0]
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert '"model": "tiny"' in json.dumps(body)
    assert CATS.text in str(body).replace("\\n", "\n")


async def test_an_endpoint_that_fails_is_an_error_that_names_it(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "status", 500)
    writer = ChatWriter(url=endpoint, settings=Settings(cache_dir=Path("unused")))
    with pytest.raises(AnswerFailedError, match=r"/v1/chat/completions gave no answer: HTTP Error 500"):
        await writer.write("Which fish?", [CATS])


async def test_an_endpoint_that_is_not_there_is_the_same_error() -> None:
    writer = ChatWriter(url="http://127.0.0.1:9/v1", settings=Settings(cache_dir=Path("unused")))
    with pytest.raises(AnswerFailedError, match=r"127\.0\.0\.1:9"):
        await writer.write("Which fish?", [CATS])
