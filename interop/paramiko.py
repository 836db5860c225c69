# /// script
# requires-python = ">=3.11"
# dependencies = ["paramiko"]
# ///
"""paramiko logs in to a real OpenSSH server."""

from __future__ import annotations

import getpass
import socket
import subprocess
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.asymmetric import rsa

from interop._keys import Key, run

CONFIG = """
HostKey {tmp}/host
AuthorizedKeysFile {tmp}/authorized
PubkeyAcceptedAlgorithms rsa-sha2-256,rsa-sha2-512,ecdsa-sha2-nistp256
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
"""


def prove(key: Key, tmp: Path) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        ssh_key: paramiko.PKey = paramiko.RSAKey(key=key)
    else:
        ssh_key = paramiko.ECDSAKey(vals=(key, key.public_key()))
    generate = f"ssh-keygen -q -t ed25519 -N '' -f {tmp}/host"
    subprocess.run(generate, shell=True, check=True)  # noqa: S602
    (tmp / "config").write_text(CONFIG.format(tmp=tmp))
    (tmp / "authorized").write_text(f"{ssh_key.get_name()} {ssh_key.get_base64()}\n")

    # In inetd mode sshd speaks on its standard input: no port, no waiting for it.
    ours, theirs = socket.socketpair()
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = ["/usr/sbin/sshd", "-i", "-f", f"{tmp}/config"]
    line = theirs.fileno()
    with subprocess.Popen(sshd, stdin=line, stdout=line), ours:
        theirs.close()
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507
        user = getpass.getuser()
        client.connect(
            "localhost", username=user, pkey=ssh_key, sock=ours, look_for_keys=False
        )
        _, output, _ = client.exec_command("echo logged in")
        assert output.read() == b"logged in\n"
        client.close()


if __name__ == "__main__":
    run(prove)
