"""HTTP as uvicorn speaks it, but for offers to speak something else, trailers, and heads without end."""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OF_THE_OFFER: Final = {b"upgrade", b"http2-settings"}
MAX_HEAD: Final = 65_536
"""Bytes after which a head (or trailers, or the size of a chunk) must have come to its end: the parser has no bound."""


class Protocol(HttpToolsProtocol):
    """Passes over an offer to change the protocol (RFC 9110, 7.8), and reads on.

    Without TLS, Java's HttpClient offers HTTP/2 with its first request (`Upgrade: h2c`). The parser takes what follows
    such a head for the other protocol, and the body would be lost: so the head is read again, without the offer.

    Trailers are dropped. They are no headers (RFC 9110, 6.5.1): who calls, and from where, is said in the head, which
    a proxy has seen to.
    """

    _in_head = False
    _further = False
    """Whether the data at hand ended a head or a message, or was part of a body."""
    _unread = 0

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._further = False
        try:
            self._read(data)
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
            return
        self._unread = 0 if self._further else self._unread + len(data)
        if self._unread > MAX_HEAD:
            self._refuse("Request head too large.")

    def _read(self, data: bytes) -> None:
        rest = memoryview(data)
        while True:
            try:
                return self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                if not self._offered():
                    return self._unsupported_upgrade_warning()
                rest, head = rest[offer.args[0] :], self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
                self.parser.feed_data(head)

    def _refuse(self, message: str) -> None:
        self.logger.warning(message)
        self.send_400_response(message)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._further = False, True
        if not self._offered():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._further = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._further = True
        if not self._offered():
            super().on_message_complete()

    def _offered(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _head_without_offer(self) -> bytes:
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                lines += [b"connection: " + one for one in options if one.lower() not in OF_THE_OFFER]
            elif name not in OF_THE_OFFER:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])
