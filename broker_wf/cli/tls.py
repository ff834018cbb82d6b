"""TLS for the health check; apart, since importing it costs more than the check itself."""

from __future__ import annotations

import socket
import ssl


def wrapped(plain: socket.socket, host: str) -> socket.socket:
    """The connection inside TLS; the server's certificate is verified.

    Raises:
        OSError: the handshake failed; the connection is closed.
    """
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except OSError:
        plain.close()
        raise
