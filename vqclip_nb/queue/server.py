"""The server: serves the application on a socket until a signal arrives."""

import errno
import socket
from typing import Any

import uvicorn

from vqclip_nb.errors import RunError
from vqclip_nb.queue.access import LOOPBACK
from vqclip_nb.queue.app import application
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.store import Store

BACKLOG = 2048  # connections that may wait to be accepted
GRACE = 3  # seconds for requests to end


class _UvicornServer(uvicorn.Server):
    """Ends the event streams first, because they would not end by themselves."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.config.app.state.views.closing = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


class Server:
    """Binds a socket at once, and serves on it in `run`. Raises RunError if the address is not available."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = _bind(host, port)
        self._hosts = (*LOOPBACK, host) if host in LOOPBACK else ()
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self, store: Store, limits: Limits, *, guests: bool) -> None:
        """Serve until a signal arrives."""
        app = application(store, limits, guests=guests, hosts=self._hosts)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, backlog=BACKLOG, timeout_graceful_shutdown=GRACE
        )
        try:
            _UvicornServer(config).run(sockets=[self._socket])
        except KeyboardInterrupt:  # uvicorn raises it again after it has ended
            pass
        finally:
            self._socket.close()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise RunError(f"host must be an address of this machine, got {host!r}; such as 127.0.0.1 or 0.0.0.0") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise RunError(f"port {port} of {host} is in use; choose another with --port {port + 1}") from None
        raise RunError(f"{host} port {port} cannot be listened on: {error.strerror}; choose another") from None
    return listener
