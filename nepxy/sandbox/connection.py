"""How a provider's connection dies."""

import socket
import struct

from aiohttp import web

# Linger switched on with zero seconds: close() throws away what is unsent and sends RST instead of FIN.
_LINGER_RESET = struct.pack("ii", 1, 0)


def reset(request: web.Request) -> web.Response:
    """Resets the client's connection, so that it sees ECONNRESET and not a tidy end.

    Returns:
        A response that can no longer be sent, for the handler to return: aiohttp wants one.
    """
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.abort()
    return web.Response(status=500)
