# /// script
# requires-python = ">=3.11"
# dependencies = ["paho-mqtt"]
# ///
"""paho-mqtt logs in to a real mosquitto by certificate, publishes and receives."""

from __future__ import annotations

import contextlib
import queue
import subprocess
from collections.abc import Iterator
from pathlib import Path

from paho.mqtt import client as mqtt

from interop._keys import Key, run
from interop._tls import Files, free_port, reference_files

CONFIG = """
user root
listener {port} 127.0.0.1
cafile {files.own_certificate}
certfile {files.peer_certificate}
keyfile {files.peer_key}
require_certificate true
use_identity_as_username true
allow_anonymous false
"""


def prove(key: Key, tmp: Path) -> None:
    files = reference_files(key, tmp)
    received: queue.Queue[bytes] = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.tls_set(files.peer_certificate, files.own_certificate, files.own_key)
    client.on_connect = lambda *_: client.subscribe("topic", qos=1)
    client.on_subscribe = lambda *_: client.publish("topic", b"hello", qos=1)
    client.on_message = lambda _client, _userdata, message: received.put(
        message.payload
    )
    with mosquitto(files) as port:
        client.connect("localhost", port)
        client.loop_start()
        assert received.get(timeout=30) == b"hello"
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def mosquitto(files: Files) -> Iterator[int]:
    port, config = free_port(), files.folder / "mosquitto.conf"
    config.write_text(CONFIG.format(port=port, files=files))
    command = ["/usr/sbin/mosquitto", "-v", "-c", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as broker:
        try:
            assert broker.stderr is not None
            assert any("running" in line for line in broker.stderr)
            yield port
        finally:
            broker.terminate()


if __name__ == "__main__":
    run(prove)
