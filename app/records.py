"""Records: values that nobody changes."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(kind: type[T]) -> type[T]:
    """A frozen dataclass for the hot path: that nothing is assigned to it, the type checker sees to.

    `dataclass(frozen=True)` sees to it as the program runs, and sets each field by a call of its own: a record of
    twelve takes many times as long to make. A name that is no field is refused all the same.
    """
    return dataclass(unsafe_hash=True, slots=True)(kind)
