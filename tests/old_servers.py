"""A server of a version that is too old, as far as anybody asks it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

_FACTS = b"redis_version:6.2.14\r\nrole:master\r\n"
_ASKED = re.compile(rb"(?i)\b(info|client|hello|select|auth)\b")


class _Talk(BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError):
            while data := self.request.recv(65536):
                for word in _ASKED.findall(data):
                    is_info = word.lower() == b"info"
                    self.request.sendall(b"$%d\r\n%s\r\n" % (len(_FACTS), _FACTS) if is_info else b"+OK\r\n")


class _Old(ThreadingTCPServer):
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Talk)
        self.talks: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        talk, whose = super().get_request()
        self.talks.append(talk)
        return talk, whose


@contextmanager
def old_server(port: int = 0) -> Iterator[str]:
    """Answers at a port of this machine, any if none is given, as Redis 6.2 does. Gives its URL.

    It has threads, for an event loop that lets somebody in while it closes forgets that connection, and its warning
    falls upon any test.
    """
    with _Old(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            for talk in server.talks:
                with suppress(OSError):
                    talk.shutdown(socket.SHUT_RDWR)
