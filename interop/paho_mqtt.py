# /// script
# requires-python = ">=3.11"
# dependencies = ["paho-mqtt"]
# ///
"""paho-mqtt logs in to a real mosquitto by certificate, publishes and receives."""

from __future__ import annotations

import queue
from pathlib import Path

from paho.mqtt import client as mqtt

from interop._keys import Key, run
from interop._servers import mosquitto
from interop._tls import reference_files


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


if __name__ == "__main__":
    run(prove)
