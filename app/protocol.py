"""HTTP as uvicorn speaks it, but for offers to speak something else."""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OF_THE_OFFER: Final = {b"upgrade", b"http2-settings"}


class Protocol(HttpToolsProtocol):
    """Passes over an offer to change the protocol (RFC 9110, 7.8), and reads on.

    Without TLS, Java's HttpClient offers HTTP/2 with its first request (`Upgrade: h2c`). The parser takes what follows
    such a head for the other protocol, and the body would be lost: so the head is read again, without the offer.
    """

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while True:
                try:
                    return self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as offer:
                    if not self._offered():
                        return self._unsupported_upgrade_warning()
                    data = self._head_without_offer() + data[offer.args[0] :]
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn's own
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def on_headers_complete(self) -> None:
        if not self._offered():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
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
