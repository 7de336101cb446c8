"""One of the parts that an index is made in, by runs that need not know of one another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Self, TypeVar

from auditor.errors import AuditError

Planned = TypeVar("Planned")


class Part(NamedTuple):
    """Part `number` of `of`, counted from one: a run of neighbouring shards of the common plan."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`3/16`; AuditError for anything else."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        part = cls(int(match[1]), int(match[2])) if match else None
        if part is None or not 1 <= part.number <= part.of:
            raise AuditError(f"{text!r} is no part of a whole; write 3/16 for the third of sixteen")
        return part

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def suffix(self) -> str:
        """What the name of its folder ends with."""
        return f".{self.number}-of-{self.of}"

    def select(self, shards: Sequence[Planned]) -> tuple[Planned, ...]:
        """Its share of all that was planned; the parts' shares differ by one at most and may be empty."""
        first, last = (len(shards) * end // self.of for end in (self.number - 1, self.number))
        return tuple(shards[first:last])
