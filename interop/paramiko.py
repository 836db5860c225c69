# /// script
# requires-python = ">=3.11"
# dependencies = ["paramiko"]
# ///
"""paramiko logs in to a real OpenSSH server."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.asymmetric import rsa

from interop._keys import Key, run

CONFIG = """
HostKey {tmp}/host
AuthorizedKeysFile {tmp}/authorized
PubkeyAcceptedAlgorithms {algorithm}
StrictModes no
UsePAM no
"""


def prove(key: Key, tmp: Path) -> None:
    algorithms = ["ecdsa-sha2-nistp256"]
    if isinstance(key, rsa.RSAPrivateKey):
        algorithms = ["rsa-sha2-256", "rsa-sha2-512"]
        ours: paramiko.PKey = paramiko.RSAKey(key=key)
    else:
        ours = paramiko.ECDSAKey(vals=(key, key.public_key()))
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp / "host")]
    subprocess.run(keygen, check=True)
    (tmp / "authorized").write_text(f"{ours.get_name()} {ours.get_base64()}\n")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for wanted in algorithms:
        (tmp / "config").write_text(CONFIG.format(tmp=tmp, algorithm=wanted))
        # In inetd mode sshd speaks on its standard input: no port, no waiting for it.
        here, there = socket.socketpair()
        sshd, line = ["/usr/sbin/sshd", "-i", "-f", str(tmp / "config")], there.fileno()
        with subprocess.Popen(sshd, stdin=line, stdout=line), here:
            there.close()
            with paramiko.SSHClient() as client:
                client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
                me = pwd.getpwuid(os.getuid()).pw_name
                # sshd 9 announces more than it accepts, so paramiko is told as well.
                off = {"pubkeys": [name for name in algorithms if name != wanted]}
                options = {"pkey": ours, "sock": here, "disabled_algorithms": off}
                client.connect("localhost", username=me, **options)
                _, output, _ = client.exec_command("echo logged in")
                assert output.read() == b"logged in\n"


if __name__ == "__main__":
    run(prove)
