"""``parsec-keys run``: programs that know nothing of this package, with a reference."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import parsec_keys
from parsec_keys.emulators import PIN
from tests.conftest import open_or_miss
from tests.tls.handshakes import files

# Nothing but the standard library, and what one writes for a key file.
PROGRAM = """
import ssl, sys

def shake():
    own, peer = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context("key", ssl.PROTOCOL_TLS_CLIENT).wrap_bio(own, peer)
    server = context("key", ssl.PROTOCOL_TLS_SERVER).wrap_bio(peer, own, True)
    ends = [client, server]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert server.getpeercert()
    print("shaken", *sys.argv[1:], flush=True)

def context(folder, protocol):
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    made.load_verify_locations(f"{folder}/cert.pem")
    return made

if __name__ == "__main__":
    shake()
"""
SPAWNS = """
import multiprocessing, program

if __name__ == "__main__":
    for method in ("spawn", "fork", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=program.shake)
        process.start()
        process.join()
        assert process.exitcode == 0
"""


def prepared(folder: Path, store: parsec_keys.KeyStore) -> Path:
    """A folder with programs, a certificate and a reference."""
    files(store.generate_ec("key", ec.SECP256R1()), folder / "key")
    long = f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n"
    for name, content in (
        ("program.py", PROGRAM),
        ("spawns.py", SPAWNS),
        ("console-script", f"#!{sys.executable}\n{PROGRAM}"),
        ("long-path", long + PROGRAM),  # What pip writes where it is.
    ):
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with what a program needs, and the URL of the store of its key."""
    folder = tmp_path_factory.mktemp("program")
    with parsec_keys.open_store(f"software:{folder / 'store'}") as store:
        return prepared(folder, store), store.url


def parsec_keys_run(
    folder: Path, url: str | None, *command: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    store = () if url is None else ("--store", url)
    environment = {**os.environ, **variables}
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "parsec_keys", *store, "run", "--", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert PIN not in done.stdout + done.stderr
    return done


def test_a_program_takes_a_reference_for_a_key_file(
    provider: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(provider)
    with open_or_miss(provider, url) as store:
        prepared(tmp_path, store)
    program = [sys.executable, "program.py", "-x", "--y"]
    without = subprocess.run(
        program, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    done = parsec_keys_run(tmp_path, url, *program)

    assert "PEM lib" in without.stderr
    assert (done.stdout, done.stderr, done.returncode) == ("shaken -x --y\n", "", 0)


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "program"],
        [sys.executable, "-c", "import program; program.shake()"],
        [sys.executable, "-W", "error", "-X", "dev", "program.py"],
        ["console-script"],
        ["long-path"],
        ["./console-script"],
        ["sh", "-c", f"{sys.executable} program.py | cat"],
        ["env", "-u", "LANG", sys.executable, "program.py"],
    ],
    ids=lambda command: " ".join(command).replace(sys.executable, "python"),
)
def test_however_it_is_started(keyed: tuple[Path, str], command: list[str]) -> None:
    done = parsec_keys_run(*keyed, *command)

    assert done.stdout.split("\n")[0].split()[0] == "shaken"
    assert (done.stderr, done.returncode) == ("", 0)


def test_processes_that_it_starts(keyed: tuple[Path, str]) -> None:
    done = parsec_keys_run(*keyed, sys.executable, "spawns.py")

    assert (done.stdout, done.stderr) == (3 * "shaken\n", "")


def test_pyopenssl_alone(keyed: tuple[Path, str]) -> None:
    """Without Python's ssl, the libcrypto of cryptography's wheel is the first."""
    code = """if True:
        import sys
        from OpenSSL import SSL
        assert "ssl" in sys.modules  # It came with ours.
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate_file("key/cert.pem")
        context.use_privatekey_file("key/key.pem")
        context.check_privatekey()
    """

    done = parsec_keys_run(*keyed, sys.executable, "-c", code)

    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    "first",
    [
        "parsec_keys.tls",
        "parsec_keys.errors",
        "parsec_keys.stores",
        "parsec_keys._fork, cryptography.x509",
    ],
)
def test_a_program_that_imports_this_package_too(
    keyed: tuple[Path, str], first: str
) -> None:
    """Our modules import ``ssl`` and ``cryptography`` while they are not whole."""
    code = f"import {first}; import program; program.shake()"

    done = parsec_keys_run(*keyed, sys.executable, "-c", code)

    assert (done.stdout, done.stderr) == ("shaken\n", "")


def test_a_program_without_tls_imports_nothing(keyed: tuple[Path, str]) -> None:
    code = (
        "import sys; print({'ssl', 'ctypes', 'typing', 'parsec_keys'} & {*sys.modules})"
        "; print([each for each in sys.path if 'startup' in each])"
    )

    done = parsec_keys_run(*keyed, sys.executable, "-c", code)

    assert (done.stdout, done.stderr) == ("set()\n[]\n", "")


def test_a_module_keeps_its_own_loader(keyed: tuple[Path, str]) -> None:
    code = (
        "import inspect, ssl; print(ssl.__loader__ is ssl.__spec__.loader,"
        " type(ssl.__loader__).__name__, len(inspect.getsource(ssl)) > 1000)"
    )

    done = parsec_keys_run(*keyed, sys.executable, "-c", code)

    assert done.stdout == "True SourceFileLoader True\n"


def test_the_users_sitecustomize_runs_too(
    keyed: tuple[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.was = 'here'")
    code = (
        "import os, program, sitecustomize; program.shake(); "
        "print(was, os.path.dirname(sitecustomize.__file__))"
    )

    done = parsec_keys_run(*keyed, sys.executable, "-c", code, PYTHONPATH=str(tmp_path))

    assert (done.stdout, done.stderr) == (f"shaken\nhere {tmp_path}\n", "")


def test_a_broken_sitecustomize_is_reported_as_ever(
    keyed: tuple[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import absent")
    code = "import program; program.shake()"
    command = [sys.executable, "-c", code]
    broken = {"PYTHONPATH": str(tmp_path)}
    alone = subprocess.run(
        [sys.executable, "-c", "pass"],
        env={**os.environ, **broken},
        capture_output=True,
        text=True,
        check=True,
    )

    done = parsec_keys_run(*keyed, *command, **broken)

    # Once by the command line's Python, and once by the program's.
    assert (done.stdout, done.stderr) == ("shaken\n", 2 * alone.stderr)


def test_a_relative_store_is_made_absolute(
    keyed: tuple[Path, str], tmp_path: Path
) -> None:
    code = "import os; os.chdir('/'); print(os.environ['PARSEC_KEYS_STORE'])"

    done = parsec_keys_run(keyed[0], "software:here", sys.executable, "-c", code)

    assert done.stdout == f"software:{keyed[0] / 'here'}\n"


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM), ("kill -KILL $$", -9)],
)
def test_the_exit_status_is_the_programs(
    tmp_path: Path, command: str, status: int
) -> None:
    done = parsec_keys_run(tmp_path, None, "sh", "-c", command)

    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_the_process_is_the_programs(tmp_path: Path) -> None:
    """Signals that are sent to it arrive, and none is ignored because of us."""
    command = ["sh", "-c", "grep SigIgn /proc/$$/status; echo $$; read line"]
    with subprocess.Popen(
        [sys.executable, "-m", "parsec_keys", "run", "--", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        restore_signals=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        ignored, pid = process.stdout.readline().split()[1], process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM

    assert int(pid) == process.pid
    assert int(ignored, 16) & 1 << (signal.SIGPIPE - 1) == 0


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that does not have this package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def test_a_python_without_this_package(tmp_path: Path, bare_python: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{bare_python}\n")
    script.chmod(0o755)

    for command in (str(bare_python), "script"):
        done = parsec_keys_run(tmp_path, None, command, "-V")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"run {bare_python} -m pip install parsec-keys" in done.stderr
        assert done.stderr.count("\n") == 1

    done = parsec_keys_run(
        tmp_path, None, "sh", "-c", f"{bare_python} -c 'import ssl; print(1)'"
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_python_that_cannot_register(tmp_path: Path, bare_python: Path) -> None:
    (tmp_path / "parsec_keys").mkdir()
    stub = "def enable():\n    raise ValueError('its OpenSSL is linked in')\n"
    (tmp_path / "parsec_keys" / "tls.py").write_text(stub)
    there = {"PYTHONPATH": str(tmp_path)}
    code = "import ssl; print(1)"

    told = parsec_keys_run(tmp_path, None, str(bare_python), "-c", code, **there)
    in_child = parsec_keys_run(
        tmp_path, None, "sh", "-c", f"{bare_python} -c '{code}'", **there
    )

    assert (told.returncode, told.stdout) == (1, "")
    assert "cannot use key references: its OpenSSL is linked in\n" in told.stderr
    assert in_child.stdout == "1\n"
    assert in_child.stderr == (
        "no key reference works in this process: its OpenSSL is linked in\n"
    )


@pytest.mark.parametrize("option", ["-I", "-E", "-S", "-sE", "-Wd -I", "-X dev -I"])
def test_a_python_that_would_not_look(tmp_path: Path, option: str) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{sys.executable} {option}\n")
    script.chmod(0o755)

    for command in (f"{sys.executable} {option} -c pass", "script"):
        done = parsec_keys_run(tmp_path, None, *command.split())
        assert (done.returncode, done.stdout) == (1, "")
        assert re.search(r"option -[IES] shuts out", done.stderr)
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("after", ["-c pass -I", "-m this -E", "- -S", "-W i -c 1"])
def test_a_programs_own_options_are_its_own(tmp_path: Path, after: str) -> None:
    done = parsec_keys_run(tmp_path, None, sys.executable, *after.split())

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("absent", 127, "there is no command 'absent'"),
        ("./absent", 127, "there is no command './absent'"),
        ("./script.py", 126, "run python ./script.py"),
        ("./plain", 126, "nor a script with a #! line"),
        ("./folder", 126, "no executable file"),
        ("./script.pl", 1, "is a script for perl"),
        ("./gone", 126, "cannot be run"),
    ],
)
def test_what_is_no_program(
    tmp_path: Path, command: str, status: int, words: str
) -> None:
    (tmp_path / "folder").mkdir()
    for name, content, mode in (
        ("script.py", "print(1)", 0o644),
        ("plain", "print(1)", 0o755),
        ("script.pl", "#!/usr/bin/env perl\n", 0o755),
        ("gone", "#!/absent/interpreter\n", 0o755),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)

    done = parsec_keys_run(tmp_path, None, command)

    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_store_that_is_none(tmp_path: Path) -> None:
    done = parsec_keys_run(tmp_path, "nonsense:", sys.executable, "-c", "print(1)")

    assert (done.returncode, done.stdout) == (1, "")
    assert "'nonsense:' is no store" in done.stderr


def test_no_command_is_wrong_usage(tmp_path: Path) -> None:
    assert parsec_keys_run(tmp_path, None).returncode == 2
