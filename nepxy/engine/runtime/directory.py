"""Who is where: actors by their key, and by whatever else the world calls them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar, cast

from pykka import ActorRef

__all__ = ["Directory"]

K = TypeVar("K", bound=Hashable)


class Directory(Generic[K]):
    """Refs by key, with aliases; each step takes the same time however many there are.

    Keys and aliases share one space of names, and a name belongs to one actor: two payouts under one
    provider reference would be a mix-up of money. For one thread; the supervisor owns it.
    """

    __slots__ = ("_aliases", "_key_of", "_refs")

    def __init__(self) -> None:
        self._refs: dict[K, ActorRef[Any]] = {}
        self._key_of: dict[Hashable, K] = {}
        # Only for keys that have aliases.
        self._aliases: dict[K, tuple[Hashable, ...]] = {}

    def add(self, key: K, ref: ActorRef[Any], *aliases: Hashable) -> None:
        """Enter an actor; for a key that is already here (a restart), replace its ref and keep its aliases.

        Raises:
            ValueError: `key` is an alias, or an alias is another actor's; nothing was changed.
        """
        if key in self._key_of:
            raise ValueError(f"{key!r} is already an alias of {self._key_of[key]!r}")
        self._check_free(key, aliases)
        self._refs[key] = ref
        self._enter_aliases(key, aliases)

    def alias(self, key: K, *aliases: Hashable) -> None:
        """Let an actor be found under more names; those that it already has are left as they are.

        Raises:
            KeyError: there is no such key.
            ValueError: an alias is another actor's; nothing was changed.
        """
        if key not in self._refs:
            raise KeyError(key)
        self._check_free(key, aliases)
        self._enter_aliases(key, aliases)

    def get(self, key_or_alias: Hashable) -> ActorRef[Any] | None:
        """The actor of that name; None: there is none."""
        key = cast("K", key_or_alias)
        return self._refs.get(self._key_of.get(key, key))

    def remove(self, key: K, *, ref: ActorRef[Any] | None = None) -> ActorRef[Any] | None:
        """Take an actor out, with all its aliases.

        Args:
            key: its key, not an alias.
            ref: take it out only if it is still this one: late news of an old actor must not remove
                its successor. None: whichever it is.

        Returns:
            the ref that was taken out; None: nothing was.
        """
        if ref is not None and self._refs.get(key) is not ref:
            return None
        for alias in self._aliases.pop(key, ()):
            del self._key_of[alias]
        return self._refs.pop(key, None)

    def items(self) -> Iterator[tuple[K, ActorRef[Any]]]:
        """All actors with their keys, in the order of entry; do not add or remove meanwhile."""
        return iter(self._refs.items())

    def __len__(self) -> int:
        return len(self._refs)

    def __contains__(self, key_or_alias: Hashable) -> bool:
        return self.get(key_or_alias) is not None

    def __iter__(self) -> Iterator[K]:
        return iter(self._refs)

    def _check_free(self, key: K, aliases: tuple[Hashable, ...]) -> None:
        for alias in aliases:
            if alias == key:
                continue
            owner = alias if alias in self._refs else self._key_of.get(alias, key)
            if owner != key:
                raise ValueError(f"{alias!r} already names {owner!r}: it cannot be an alias of {key!r}")

    def _enter_aliases(self, key: K, aliases: tuple[Hashable, ...]) -> None:
        new = tuple(dict.fromkeys(alias for alias in aliases if alias != key and alias not in self._key_of))
        if new:
            self._aliases[key] = (*self._aliases.get(key, ()), *new)
            self._key_of.update(dict.fromkeys(new, key))
