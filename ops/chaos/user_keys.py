"""The run's secrets: made up, long enough to be found wherever they leak."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Keys:
    """One user's keys."""

    api_key: str
    secret_key: str
    passphrase: str

    @property
    def toml(self) -> str:
        """As lines of a credentials file."""
        return "".join(f'{name} = "{getattr(self, name)}"\n' for name in self.__slots__)


@dataclass(slots=True)
class UserKeys:
    """Everybody's keys, generation after generation.

    Attributes:
        rng: where they come from.
        current: those in force.
        spent: all others that ever were.
    """

    rng: random.Random
    current: dict[str, Keys]
    spent: list[Keys]

    @classmethod
    def of(cls, users: tuple[str, ...], seed: int) -> UserKeys:
        """The first generation."""
        ring = cls(random.Random(f"{seed}/keys"), {}, [])
        ring.current = {user: ring._make() for user in users}
        return ring

    def rotate(self, users: tuple[str, ...]) -> dict[str, Keys]:
        """Gives some users new keys; returns their old ones."""
        old = {user: self.current[user] for user in users}
        self.spent += old.values()
        self.current |= {user: self._make() for user in users}
        return old

    def all(self) -> list[str]:
        """Every secret there ever was."""
        return [getattr(keys, name) for keys in (*self.current.values(), *self.spent) for name in Keys.__slots__]

    def wrong(self) -> Keys:
        """Keys that nobody knows."""
        keys = self._make()
        self.spent.append(keys)
        return keys

    def password(self) -> str:
        """One more secret."""
        return self._digits("rp-")

    def _make(self) -> Keys:
        return Keys(self._digits("ak-"), self._digits("sk-"), self._digits("pw-"))

    def _digits(self, prefix: str) -> str:
        return prefix + "".join(self.rng.choices(HEX, k=24))


def toml(entries: Mapping[str, Keys], extra: Iterable[tuple[str, Keys]] = ()) -> str:
    """A credentials file; users may have more keys, which only the exchange looks at."""
    text = []
    for user, keys in entries.items():
        text.append(f'[users."{user}"]\n{keys.toml}')
        text += [f'[[users."{user}".extra_keys]]\n{other.toml}' for whose, other in extra if whose == user]
    return "\n".join(text)


def replace_file(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, by a rename."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
