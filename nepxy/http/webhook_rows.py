"""How a webhook is kept: what of it is stored, and how much of what anybody could have sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import orjson
from multidict import CIMultiDictProxy

from nepxy.config.masking import HIDDEN, is_secret_name, mask_text
from nepxy.http.front import WebhookNotice
from nepxy.storage.writes import WebhookRow

UNSIGNED_BODY_BYTES_MAX: Final = 2_048
UNSIGNED_STORED_PER_S_MAX: Final = 50
"""Beyond it they are only counted: nobody may fill the disk without a secret (money rule 9)."""
HEADERS_MAX: Final = 40
HEADER_BYTES_MAX: Final = 200


class Allowance:
    """So many in each second, by a clock of the loop's."""

    def __init__(self, per_s_max: int, *, clock: Callable[[], float]) -> None:
        """Allow `per_s_max` a second; `clock` gives monotonic seconds."""
        self._per_s_max = per_s_max
        self._clock = clock
        self._second = -1
        self._taken_count = 0

    def take(self) -> bool:
        """Whether one more is allowed now."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._taken_count = second, 0
        self._taken_count += 1
        return self._taken_count <= self._per_s_max


def webhook_row(
    *,
    webhook_id: str,
    provider: str,
    body: bytes,
    headers: CIMultiDictProxy[str],
    signed_with: str | None,
    notice: WebhookNotice | None,
    request_id: str,
) -> WebhookRow:
    """What is stored of a webhook."""
    kept = body if signed_with is not None else body[:UNSIGNED_BODY_BYTES_MAX]
    return WebhookRow(
        webhook_id=webhook_id,
        provider=provider,
        signature_valid=signed_with is not None,
        signed_with=signed_with,
        **named_by(notice),
        headers=masked_headers(headers),
        # PostgreSQL takes no NUL in a text.
        body=kept.decode(errors="replace").replace("\0", "�"),
        body_sha256=hashlib.sha256(body).hexdigest(),
        request_id=request_id,
    )


def named_by(notice: WebhookNotice | None) -> dict[str, str | None]:
    """The columns for what a webhook names; None: it could not be read."""
    our_ref = _stored(notice.our_ref) if notice else None
    return {
        "provider_ref": _stored(notice.provider_ref) if notice else None,
        "our_ref": our_ref,
        "external_ref": our_ref,
        "status_word": _stored(notice.status_word) if notice else None,
    }


def masked_headers(headers: CIMultiDictProxy[str]) -> str:
    """The headers as JSON, without secrets and numbers; a bounded number of bounded values."""
    shown = {}
    for name, value in list(headers.items())[:HEADERS_MAX]:
        shown_name, is_secret = _masked_name(name)
        shown[shown_name] = HIDDEN if is_secret else _masked_value(value)
    return orjson.dumps(shown).decode()


@lru_cache(maxsize=256)
def _masked_name(name: str) -> tuple[str, bool]:
    """A header's name as it is stored, and whether its value is hidden: providers send the same few all day long."""
    return mask_text(name, HEADER_BYTES_MAX), is_secret_name(name) or "cookie" in name.lower()


@lru_cache(maxsize=256)
def _masked_value(value: str) -> str:
    """Most values are the same few, too."""
    return mask_text(value, HEADER_BYTES_MAX)


def _stored(text: str | None) -> str | None:
    return text.replace("\0", "�") if text is not None else None
