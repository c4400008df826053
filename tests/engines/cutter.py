"""A stand-in for a bad network: passes bytes on to an engine, and cuts connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

PART = 1 << 16


class Cutter:
    """Listens on a loopback port for `target`; alive between `__enter__` and `__exit__`.

    Args:
        target: ``HOST:PORT`` of what is behind it.
        after: a connection is cut when so many bytes have gone to the target.
        times: how many connections are cut; later ones are left alone.

    Attributes:
        address: ``127.0.0.1:PORT``.
        cut: how many were cut so far.
    """

    def __init__(self, target: str, *, after: int, times: int = 1) -> None:
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self._after = after
        self._times = times
        self.cut = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would leave accept() waiting.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            back = threading.Thread(target=_pump, args=(server, client, lambda _: False))
            back.start()
            _pump(client, server, self._is_over)
            # Both ways at once, as when a cable is pulled.
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    def _is_over(self, sent: int) -> bool:
        if sent < self._after or self.cut >= self._times:
            return False
        self.cut += 1
        return True


def _pump(source: socket.socket, target: socket.socket, is_over: Callable[[int], bool]) -> None:
    sent = 0
    with contextlib.suppress(OSError):
        while part := source.recv(PART):
            target.sendall(part)
            sent += len(part)
            if is_over(sent):
                break
        else:
            target.shutdown(socket.SHUT_WR)
