"""Builds what a ksqlDB server needs to run the functions: jars, or a Docker image that has everything.

There are two layouts of jars. In ``apart``, one jar for ``ksql.extension.dir`` has only the classes. Jars for the
server's class path have the runtime and Jep. With this layout, any number of projects can share a server. In ``one``,
one jar for ``ksql.extension.dir`` has everything. A server may have only one such jar, because Python can be loaded
only once.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from opensea_metrics.core.definition import UdfError
from opensea_metrics.udfs import registry
from opensea_metrics.udfs.ksqldb import render

JAR = "opensea-metrics-udfs.jar"
RUNTIME = "pyudf.jar"
_RELEASE = "11"
"""The oldest Java that ksqlDB 7.9 runs on."""
_DOCKERFILE = Path("deploy/compose/ksqldb/Dockerfile")


@dataclass(frozen=True)
class Built:
    """The jars: ``extension`` for ``ksql.extension.dir``, and ``class_path`` for the server's class path."""

    extension: Path
    class_path: tuple[Path, ...]


def build(out: Path, ksqldb: Iterable[Path], one: bool = False) -> Built:
    """Render, compile and pack all functions into jars in ``out``.

    ``ksqldb`` are ksqlDB's jars, or folders that contain them. Raises UdfError if a JDK, Jep or ksqlDB's classes are
    missing, or if javac reports an error.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generated, runtime = folder / "generated", folder / "runtime"
        class_path = [*jars(ksqldb), jep_jar()]
        compile_java(runtime_sources(), runtime, class_path)
        compile_java(function_sources(), generated, [*class_path, runtime])
        extension = out / "ext" / JAR
        if one:
            _pack(extension, [_classes(generated), _classes(runtime), _unpacked(jep_jar())])
            return Built(extension, ())
        _pack(extension, [_classes(generated)])
        library = out / "lib" / RUNTIME
        _pack(library, [_classes(runtime)])
        jep = library.with_name(jep_jar().name)
        shutil.copyfile(jep_jar(), jep)
        return Built(extension, (library, jep))


def build_image(tag: str) -> None:
    """Build the image from a checkout, the working directory, including the project's own functions.

    Docker's progress is shown in the terminal. Raises UdfError if Docker or the checkout is missing,
    or if the build fails.
    """
    root = Path.cwd()
    if not (root / _DOCKERFILE).is_file():
        raise UdfError(f"{_DOCKERFILE} does not exist here: run this in a checkout of opensea-metrics")
    if shutil.which("docker") is None:
        raise UdfError("there is no docker command: install Docker, or build jars with --ksqldb DIR")
    with tempfile.TemporaryDirectory() as own:
        for file in registry.own_files():
            shutil.copy(file, own)
        done = subprocess.run(
            ["docker", "build", "-f", _DOCKERFILE, "-t", tag, "--build-context", f"own={own}", "."],
            cwd=root,
            check=False,
        )
    if done.returncode:
        raise UdfError(f"docker build failed with exit code {done.returncode}")


def function_sources() -> dict[str, str]:
    """The sources of the classes of all functions, by path."""
    folder = render.PACKAGE.replace(".", "/")
    return {
        f"{folder}/{render.class_name(definition)}.java": render.source(definition)
        for definition in registry.functions().values()
    }


def runtime_sources() -> dict[str, str]:
    """The sources of the runtime, by path."""
    folder = resources.files("opensea_metrics.udfs.ksqldb") / "java" / "pyudf"
    return {f"pyudf/{file.name}": file.read_text("utf-8") for file in folder.iterdir()}


def compile_java(sources: Mapping[str, str], out: Path, class_path: Iterable[Path]) -> None:
    """Compile sources into a folder. Raises UdfError with javac's message."""
    with tempfile.TemporaryDirectory() as temporary:
        files = []
        for path, text in sources.items():
            file = Path(temporary) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            files.append(str(file))
        out.mkdir(parents=True, exist_ok=True)
        # javac finishes within seconds, too soon for Java's optimizing compiler to save time.
        command = [javac(), "-J-XX:TieredStopAtLevel=1", "--release", _RELEASE, "-encoding", "UTF-8"]
        command += ["-nowarn", "-proc:none"]
        path = os.pathsep.join(map(str, class_path))
        done = subprocess.run(
            [*command, "-cp", path, "-d", str(out), *files], capture_output=True, text=True
        )
    if done.returncode:
        raise UdfError(f"javac: {done.stderr.strip()}")


def javac() -> str:
    """The path of the compiler. Raises UdfError if there is none."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("javac", path=f"{home}/bin" if home else None)
    if program is None:
        raise UdfError(
            "there is no javac: install a JDK (11 or newer) and set JAVA_HOME, or pass --docker"
        )
    return program


def jep_jar() -> Path:
    """The jar of Jep. Raises UdfError if Jep is not installed."""
    spec = importlib.util.find_spec("jep")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for jar in Path(folder).glob("jep-*.jar"):
            return jar
    raise UdfError(
        "Jep is not installed: pip install 'opensea-metrics[ksqldb]' with JAVA_HOME set to a JDK"
        " (needs a C compiler), or pass --docker"
    )


def jars(paths: Iterable[Path]) -> list[Path]:
    """The given jars, and those in the given folders. Raises UdfError for a path that does not exist."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UdfError(f"{path} does not exist; it should contain ksqlDB's jars")
        files += sorted(path.glob("*.jar")) if path.is_dir() and any(path.glob("*.jar")) else [path]
    return files


def _classes(folder: Path) -> dict[str, bytes]:
    files = sorted(folder.rglob("*.class"))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def _unpacked(jar: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(jar) as packed:
        return {n: packed.read(n) for n in packed.namelist() if n.endswith(".class")}


def _pack(jar: Path, contents: Iterable[Mapping[str, bytes]]) -> None:
    """Write a jar. The same classes produce the same bytes."""
    jar.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), "Manifest-Version: 1.0\r\n\r\n")
        for entries in contents:
            for name, data in entries.items():
                packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
