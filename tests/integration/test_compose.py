"""Pinned Compose files, as docker-compose reads them: what it makes of both files is the same."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from layerscan.apps.pinning import CONFIG_HASH_LABEL, pin
from tests.builders.compose_apps import HEX, put
from tests.conftest import require_programs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine

IMAGE = f"registry.example/acme/web@sha256:{HEX}"
APP = r"""
# Anchors, merges, extension fields, profiles, short forms, variables, odd scalars.
version: "3.9"
x-logging: &logging
  driver: json-file
  options: {max-size: 10m, max-file: "3"}
x-base: &base
  restart: unless-stopped
  build: .
  logging: *logging
  labels: {team: fleet}
  environment: &environment
    ONE: 1
    YES: "yes"
    OCTAL: 0o14
    OLD_OCTAL: 014
    FLOAT: 1e3
    EMPTY:
    TIME: 1:30
    TEXT: |
      two
        lines
services:
  web:
    <<: *base
    image: "acme/web:${TAG:-7}"
    build: {context: ., args: {A: 1}}
    ports: ["22:22", "8080:80", "3000-3005", "127.0.0.1:53:53/udp"]
    volumes: ["./conf:/etc/conf:ro", "data:/data", {type: tmpfs, target: /run}]
    env_file: [.env, more.env]
    environment:
      <<: *environment
      ONE: 2
      GIVEN: ${GIVEN?needed}
      DOLLAR: $$HOME
    command: >
      sh -c "exec
      web --quiet"
    healthcheck: {test: [CMD, "true"], interval: 1m30s, retries: 3}
    depends_on: [db]
    profiles: [debug]
    deploy: {resources: {limits: {cpus: '0.50', memory: 50M}}}
    sysctls: {net.core.somaxconn: 1024}
    ulimits: {nofile: {soft: 20000, hard: 40000}}
  db:
    image: acme/db@sha256:HEX
    labels: [a=b, "c=d=e"]
    tmpfs: /tmp
    networks: {back: {aliases: [database]}}
    extra_hosts: ["host:1.2.3.4"]
    stop_grace_period: 90s
    cap_add: &caps [NET_ADMIN]
    cap_drop: *caps
  merged:
    <<: [*base, {image: acme/merged, user: "0"}]
networks:
  back: {driver: bridge, ipam: {config: [{subnet: 10.1.0.0/16}]}}
volumes:
  data:
""".replace("HEX", HEX)


def config(folder: Path) -> Any:  # noqa: ANN401 - Compose's own form
    """What docker-compose makes of the App, variables put in and defaults filled."""
    done = subprocess.run(
        ["docker-compose", "--profile", "debug", "config"],
        check=False,
        capture_output=True,
        cwd=folder,
        env=os.environ | {"GIVEN": "x: y # z"},
        timeout=240,
    )
    assert done.returncode == 0, done.stderr.decode()
    # The order of keys means nothing; Compose keeps that of extension fields.
    return yaml.safe_load(done.stdout)


def test_docker_compose_reads_the_same_app(tmp_path: Path) -> None:
    require_programs("docker-compose")
    files = {"docker-compose.yml": APP, ".env": "A=1\nTAG=8\n", "more.env": "B=2\n", "conf/a": ""}
    # One folder: its name is the project's, and relative paths lead through it.
    folder = tmp_path / "shop"
    put(folder, files)
    # What is meant to change is changed by hand, the rest is the author's.
    plain = APP.replace('"acme/web:${TAG:-7}"', IMAGE).replace("acme/merged", IMAGE)
    plain = plain.replace(f"acme/db@sha256:{HEX}", IMAGE)
    plain = plain.replace("    build: {context: ., args: {A: 1}}\n", "").replace("  build: .\n", "")
    (folder / "docker-compose.yml").write_text(plain)
    expected = config(folder)
    images = dict.fromkeys(("web", "db", "merged"), IMAGE)
    pinned = pin(APP, "docker-compose.yml", images)
    (folder / "docker-compose.yml").write_bytes(pinned)
    found = config(folder)
    for name in images:
        labels = found["services"][name]["labels"]
        assert re.fullmatch("[0-9a-f]{64}", labels.pop(CONFIG_HASH_LABEL))
    assert found == expected
    assert expected["services"]["web"]["environment"]["GIVEN"] == "x: y # z"
