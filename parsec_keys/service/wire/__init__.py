"""Parsec's wire protocol: frames and protobuf messages <-> operations. No sockets."""
