"""A page without a browser: what one says to the server, and how much of what comes back it reads."""

from __future__ import annotations

import base64
import json
import os
import re
import select
import socket
import struct
import time
from types import TracebackType
from typing import Any
from urllib.request import urlopen

#: What the kernel holds of what nobody reads; as small as it lets us.
_SMALLEST = 4096


class PageClient:
    """Open the dashboard as a browser does, by its web socket, and read on only when told to.

    Parameters
    ----------
    host, port
        Where the dashboard is.
    """

    def __init__(self, host: str, port: int) -> None:
        page = urlopen(f"http://{host}:{port}/", timeout=30).read().decode()
        found = re.search(r'"token":"([^"]+)"', page)
        assert found is not None, "the page has no session token"
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALLEST)
        self._socket.connect((host, port))
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            (
                f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: bokeh, {found[1]}\r\n\r\n"
            ).encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(1)
        assert b" 101 " in answer.splitlines()[0], answer.decode()
        self.read(within_s=20.0, until=b"ACK")
        self._say("PULL-DOC-REQ", {})
        ready = {"type": "event", "name": "document_ready", "values": {"type": "map", "entries": []}}
        event = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready}
        self._say("PATCH-DOC", {"events": [event]})

    def read(self, *, within_s: float, until: bytes | None = None) -> int:
        """Read all that comes for so long, or until some words come; return how many bytes there were."""
        deadline, n_bytes, tail = time.monotonic() + within_s, 0, b""
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                break
            found = self._socket.recv(1 << 16)
            if not found:
                break
            n_bytes, tail = n_bytes + len(found), (tail + found)[-(1 << 17) :]
            if until is not None and until in tail:
                break
        return n_bytes

    def is_cut_off(self) -> bool:
        """Say whether the server has ended it, by reading what is left."""
        self._socket.settimeout(0.5)
        try:
            while self._socket.recv(1 << 20):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> PageClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _say(self, kind: str, content: dict[str, Any]) -> None:
        header = {"msgid": base64.b16encode(os.urandom(8)).decode(), "msgtype": kind}
        for part in (header, {}, content):
            body, mask = json.dumps(part).encode(), os.urandom(4)
            n_bytes = len(body)
            length = bytes([0x80 | n_bytes]) if n_bytes < 126 else b"\xfe" + struct.pack(">H", n_bytes)
            masked = bytes(each ^ mask[place % 4] for place, each in enumerate(body))
            self._socket.sendall(b"\x81" + length + mask + masked)
