"""What the examples take from other packages, as far as they use it: a model that repeats its prompt, and a memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class CompletionResponse:
    text: str
    delta: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass
class OpenAI:
    model: str

    async def acomplete(self, prompt: str) -> CompletionResponse:
        return CompletionResponse(text=f"<{prompt}>")

    async def astream_complete(self, prompt: str) -> AsyncIterator[CompletionResponse]:
        async def words() -> AsyncIterator[CompletionResponse]:
            for word in prompt.split():
                yield CompletionResponse(text=word, delta=f"{word} ")

        return words()


@dataclass
class ChatMessage:
    role: str
    content: str


@dataclass
class Memory:
    session_id: str
    token_limit: int
    messages: list[ChatMessage] = field(default_factory=list)

    @classmethod
    def from_defaults(cls, session_id: str, token_limit: int) -> "Memory":
        return cls(session_id, token_limit)

    async def aput(self, message: ChatMessage) -> None:
        self.messages.append(message)
