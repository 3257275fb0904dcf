"""What licences give together, at one moment and from one moment to the next."""

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from app.services import terms


class Granting(terms.Term, Protocol):
    """What of a licence counts here."""

    @property
    def units(self) -> int: ...
    @property
    def max_units_per_claim(self) -> int | None: ...


class Sum(NamedTuple):
    """What the licences in force at a moment give together."""

    licences: int = 0
    units: int = 0
    cap: int | None = None

    @classmethod
    def of(cls, licences: Sequence[Granting]) -> "Sum":
        """In one pass: each claim asks, and each feature that is shown."""
        units, capped, cap = 0, bool(licences), 0
        for licence in licences:
            units += licence.units
            own = licence.max_units_per_claim
            if own is None:
                capped = False
            elif own > cap:
                cap = own
        return cls(len(licences), units, cap if capped else None)

    def plus(self, units: int, cap: int | None) -> "Sum":
        """With one more of them; one without a cap lifts those of all others."""
        bound = None if cap is None or (self.licences and self.cap is None) else max(cap, self.cap or 0)
        return Sum(self.licences + 1, self.units + units, bound)


class Running:
    """A sum that licences are added to and taken from."""

    def __init__(self) -> None:
        self._count = self._units = self._uncapped = 0
        self._caps: dict[int, int] = {}
        self._heap: list[int] = []

    def turn(self, sign: int, licence: Granting) -> None:
        self._count += sign
        self._units += sign * licence.units
        cap = licence.max_units_per_claim
        if cap is None:
            self._uncapped += sign
            return
        self._caps[cap] = self._caps.get(cap, 0) + sign
        if sign > 0:
            heappush(self._heap, -cap)

    def sum(self) -> Sum:
        while self._heap and not self._caps[-self._heap[0]]:  # a cap that no licence in force has any more
            heappop(self._heap)
        cap = None if self._uncapped or not self._heap else -self._heap[0]
        return Sum(self._count, self._units, cap)
