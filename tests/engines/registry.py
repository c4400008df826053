"""A registry of the tests' own on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING

from tests.engines.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = ("docker-registry", "setpriv")

REQUEST_SECONDS = 10


class Registry(Engine):
    """An OCI registry over plain HTTP that keeps its blobs in a temporary folder.

    Docker and skopeo (``--tls-verify=false``)
    take loopback addresses as plain HTTP.

    Args:
        users: passwords by user name, which it then asks for (htpasswd); needs
            the program ``htpasswd``. By default it asks for nothing.

    Attributes:
        address: ``127.0.0.1:PORT``, what an image name starts with.
        root: absolute path of the folder of its blobs.
    """

    programs = PROGRAMS
    prefix = "lsregistry-"

    def __init__(self, users: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._users = users or {}
        self._htpasswd = ""
        self.address = ""
        self.root = ""

    def _begin(self, cleanup: contextlib.ExitStack) -> None:
        self.root = os.path.join(self._state, "blobs")
        self.address = f"127.0.0.1:{_free_port()}"
        if self._users:
            self._htpasswd = os.path.join(self._state, "htpasswd")
            self._write_htpasswd()
        config = os.path.join(self._state, "config.yml")
        with open(config, "w", encoding="utf-8") as out:
            json.dump(self._config(), out)  # JSON is YAML
        self._run_daemon(["docker-registry", "serve", config], cleanup, self._answers)

    def _write_htpasswd(self) -> None:
        # The registry takes bcrypt only; the least cost will do.
        with open(self._htpasswd, "wb") as out:
            for user, password in self._users.items():
                argv = ["htpasswd", "-niB", "-C", "4", user]
                done = subprocess.run(
                    argv, check=True, input=password.encode(), capture_output=True
                )
                out.write(done.stdout)

    def _config(self) -> dict[str, object]:
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": self.root},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.address},
        }
        if self._users:
            config["auth"] = {"htpasswd": {"realm": "tests", "path": self._htpasswd}}
        return config

    def _answers(self) -> bool:
        try:
            self.get("")
        except urllib.error.HTTPError as error:
            # It asks for a password.
            return error.code == HTTPStatus.UNAUTHORIZED
        except OSError:
            return False
        return True

    def get(self, path: str, *, accept: str = "*/*") -> bytes:
        """The body of ``GET /v2/PATH``.

        Raises:
            OSError: urllib.error.HTTPError for a status that is no success,
                or no connection.
        """
        request = urllib.request.Request(
            f"http://{self.address}/v2/{path}", headers={"Accept": accept}
        )
        # A proxy of the environment has no business with the loopback interface.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=REQUEST_SECONDS) as response:
            body: bytes = response.read()
            return body


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
