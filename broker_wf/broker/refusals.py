"""What a server says when it refuses something, as far as it is words alone."""

from __future__ import annotations

from broker_wf.errors import ServerRefusedError


def reply_word(error: Exception) -> str:
    """The first word of a server's error, which says its kind."""
    word = str(error).split(" ", 1)[0]
    return word or type(error).__name__


def password_refused(url: str, error: Exception) -> ServerRefusedError:
    """The error for a server that wants another password; says the cure."""
    return ServerRefusedError(url, str(error), "Put the right password into the URL or BROKER_WF_PASSWORD_FILE.")
