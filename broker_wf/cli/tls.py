"""TLS for the health check; apart, since importing it costs more than the check itself."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping


def wrapped(plain: socket.socket, host: str, options: Mapping[str, str]) -> socket.socket:
    """The connection inside TLS; the server's certificate is verified, with the authority that the URL names, if any.

    Raises:
        OSError: the handshake failed; the connection is closed.
    """
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
        return context.wrap_socket(plain, server_hostname=host)
    except OSError:
        plain.close()
        raise
