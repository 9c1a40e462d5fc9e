"""The users' keys and other secrets of a run: random, and long enough to be found wherever they leak."""

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
        """Their lines in a credentials file."""
        return "".join(f'{name} = "{getattr(self, name)}"\n' for name in self.__slots__)


@dataclass(slots=True)
class UserKeys:
    """All users' keys, the rotated ones included.

    Attributes:
        rng: the source of new keys.
        current: the valid keys by user.
        former: all keys that were valid or wrong before.
    """

    rng: random.Random
    current: dict[str, Keys]
    former: list[Keys]

    @classmethod
    def for_users(cls, users: tuple[str, ...], seed: int) -> UserKeys:
        """Return first keys for some users."""
        keys = cls(random.Random(f"{seed}/keys"), {}, [])
        keys.current = {user: keys._new_keys() for user in users}
        return keys

    def rotate(self, users: tuple[str, ...]) -> dict[str, Keys]:
        """Give some users new keys and return their old ones."""
        old = {user: self.current[user] for user in users}
        self.former += old.values()
        self.current |= {user: self._new_keys() for user in users}
        return old

    def every_secret(self) -> list[str]:
        """Return the secrets of all keys, former ones included."""
        return [getattr(keys, name) for keys in (*self.current.values(), *self.former) for name in Keys.__slots__]

    def wrong(self) -> Keys:
        """Return keys that the exchange does not accept."""
        keys = self._new_keys()
        self.former.append(keys)
        return keys

    def password(self) -> str:
        """Return a random password."""
        return self._digits("rp-")

    def _new_keys(self) -> Keys:
        return Keys(self._digits("ak-"), self._digits("sk-"), self._digits("pw-"))

    def _digits(self, prefix: str) -> str:
        return prefix + "".join(self.rng.choices(HEX, k=24))


def toml(entries: Mapping[str, Keys], extra: Iterable[tuple[str, Keys]] = ()) -> str:
    """Return the text of a credentials file. Extra keys are only read by the exchange double."""
    text = []
    for user, keys in entries.items():
        text.append(f'[users."{user}"]\n{keys.toml}')
        text += [f'[[users."{user}".extra_keys]]\n{other.toml}' for owner, other in extra if owner == user]
    return "\n".join(text)


def replace_file(path: Path, text: str) -> None:
    """Replace a file by a rename; only its owner may read it."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
