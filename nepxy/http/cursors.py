"""Cursors of pages: signed and opaque, and good only for the client and the filters that they were made for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from itsdangerous import BadData, URLSafeSerializer

from nepxy.config.secret import Secret
from nepxy.engine.payout import TransactionId
from nepxy.errors import CursorInvalid
from nepxy.http.ids import as_transaction_id
from nepxy.storage.payouts import PayoutFilter

_SALT: Final = "nepxy/payouts-cursor/1"
_OPERATORS_SALT: Final = "nepxy/operators-cursor/1"
CURSOR_CHARACTERS_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes and reads cursors. `secrets` gives those in force: the first one signs, all verify."""

    secrets: Callable[[], Sequence[Secret]]

    def sign(self, before: TransactionId, *, client_id: str, narrowed: PayoutFilter) -> str:
        """The cursor of the page whose payouts are older than `before`."""
        return self._serializer().dumps([before, _binding(client_id, narrowed)])

    def read(self, text: str, *, client_id: str, narrowed: PayoutFilter) -> TransactionId:
        """Where the page begins.

        Raises:
            CursorInvalid: we did not make it, or for another client or other filters.
        """
        if len(text) > CURSOR_CHARACTERS_MAX:
            raise CursorInvalid
        try:
            content: Any = self._serializer().loads(text)
        except BadData:
            raise CursorInvalid from None
        if not isinstance(content, list) or len(content) != 2 or content[1] != _binding(client_id, narrowed):
            raise CursorInvalid
        before = as_transaction_id(str(content[0]))
        if before is None:
            raise CursorInvalid
        return before

    def seal(self, position: Sequence[str], *, bound_to: str) -> str:
        """The cursor of an operators' list that goes on after this position; `bound_to`: which list it is."""
        return self._serializer(_OPERATORS_SALT).dumps([*position, bound_to])

    def open(self, text: str, *, bound_to: str, length: int) -> tuple[str, ...]:
        """The position, of so many parts.

        Raises:
            CursorInvalid: we did not make it, or for another list.
        """
        if len(text) > CURSOR_CHARACTERS_MAX:
            raise CursorInvalid
        try:
            content: Any = self._serializer(_OPERATORS_SALT).loads(text)
        except BadData:
            raise CursorInvalid from None
        if not isinstance(content, list) or len(content) != length + 1 or content[-1] != bound_to:
            raise CursorInvalid
        return tuple(str(part) for part in content[:-1])

    def _serializer(self, salt: str = _SALT) -> URLSafeSerializer:
        # The library signs with the last of several.
        keys = [secret.get_secret_value() for secret in reversed(self.secrets()) if secret.get_secret_value()]
        return URLSafeSerializer(keys, salt=salt, signer_kwargs={"digest_method": hashlib.sha256})


def _binding(client_id: str, narrowed: PayoutFilter) -> str:
    """A short digest of whose list it is, and how it is narrowed."""
    parts = [client_id, *(str(getattr(narrowed, name)) for name in PayoutFilter.__slots__)]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
