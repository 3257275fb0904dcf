"""Cursors of lists: the sort values of the row before a page, opaque, and signed to their query."""

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.signer import SigningAlgorithm


class StrangeCursor(Exception):
    """Not a cursor, or one of another query."""


class _KeyedBlake2(SigningAlgorithm):
    """RFC 7693: one pass over the value, where HMAC takes two and an object for each."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return blake2b(value, key=key, digest_size=32).digest()


class Cursors:
    """The cursors of one query: one that is used with another filter or sort is none of them."""

    def __init__(self, key: bytes, query: str) -> None:
        own = blake2b(query.encode(), key=key, digest_size=32).digest()
        self._signer = Signer(own, key_derivation="none", algorithm=_KeyedBlake2())

    def to(self, position: Sequence[Any]) -> str:
        return self.to_json(json.dumps(position, separators=(",", ":"), ensure_ascii=False))

    def to_json(self, position: str | bytes) -> str:
        """The same of sort values that are JSON already."""
        return self._signer.sign(base64_encode(position)).decode()

    def read(self, cursor: str) -> list[Any]:
        """Raises:
        StrangeCursor: see there.
        """
        try:
            return json.loads(base64_decode(self._signer.unsign(cursor)))
        except BadData:
            raise StrangeCursor from None


@lru_cache(maxsize=1000)
def of(key: bytes, query: str) -> Cursors:
    return Cursors(key, query)
