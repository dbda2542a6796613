"""The catalogue's ids, in its order: what each is about and who else tests it (ids.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue; `others` is empty where no other tester was found."""

    id: str
    name: str
    others: str

    @property
    def topic(self) -> str:
        return self.id[0]


@cache
def entries() -> Mapping[str, Entry]:
    """All of them, by id."""
    text = Path(__file__).with_name("ids.toml").read_text(encoding="utf-8")
    lines = [item for topic in tomllib.loads(text).values() for item in topic.items()]
    return {id_: Entry(id_, name, others) for id_, (name, others) in lines}
