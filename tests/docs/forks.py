"""Runs ``opensea-metrics`` without starting Python each time.

A program that documentation shows takes a second to import and a moment to run. So one process imports everything
once, and forks for each command. The script ``opensea-metrics`` in front of PATH sends it the arguments, the
environment, the working directory, and the three standard streams.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

_SCRIPT = """#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
server.sendall(request)
# The other process then ends the command, and replies when it has ended.
signal.signal(signal.SIGTERM, lambda *_: server.shutdown(socket.SHUT_WR))
sys.exit(int(server.recv(8) or b"1"))
"""
PYTHON = "run-python-file"
"""A second script: it runs a Python file in the same way."""


@contextmanager
def running(folder: Path) -> Iterator[Path]:
    """Start the process. Gives the folder of the scripts."""
    scripts = folder / "bin"
    scripts.mkdir()
    address = str(folder / "forks")
    for name in ("opensea-metrics", PYTHON):
        (scripts / name).write_text(_SCRIPT.format(python=sys.executable, address=address))
        (scripts / name).chmod(0o755)
    process = subprocess.Popen([sys.executable, "-m", "tests.docs.forks", address], cwd=Path(__file__).parents[2])
    try:
        while not Path(address).exists():
            assert process.poll() is None, "tests.docs.forks has ended"
            time.sleep(0.02)
        yield scripts
    finally:
        process.terminate()
        process.wait()


def serve(address: str) -> None:
    """Accept requests until the process is terminated."""
    # Imported here, because the module that starts this process needs none of it.
    import opensea_metrics.deploy.embedded.server
    import opensea_metrics.spark_batch.recompute  # noqa: F401
    from opensea_metrics.deploy.cli.app import whole_app

    whole_app()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen()
    os.rename(address + ".new", address)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _watch(connection)
        connection.close()


def _watch(connection: socket.socket) -> NoReturn:
    """Run a command in a child, reply with its exit code, and end it if the script ends or gets SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, streams, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as file:
        arguments, folder, environment = json.loads(file.read(int.from_bytes(length, "big")))
    child = os.fork()
    if child == 0:
        connection.close()
        _run(arguments, folder, environment, streams)
    ended = 0
    while not ended:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended and select.select([connection], [], [], 0.01)[0]:
            os.kill(child, signal.SIGTERM)
            ended, status = os.waitpid(child, 0)
    with suppress(OSError):
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> NoReturn:
    code: object = 0
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", 1, encoding="utf-8", closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        if Path(arguments[0]).name == PYTHON:
            sys.argv = arguments[1:]
            runpy.run_path(arguments[1], run_name="__main__")
        else:
            from opensea_metrics.deploy.cli import main

            sys.argv = arguments
            main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve(sys.argv[1])
