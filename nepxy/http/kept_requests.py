"""Clients' requests as they are kept under their idempotency keys, shown to operators: numbers and people masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from nepxy.config.masking import HIDDEN, is_phone_name, is_secret_name, mask_phone
from nepxy.http.schemas import PayoutRequest
from nepxy.http.validation import read_query
from nepxy.storage.idempotency import KeyRecord

PEOPLE: Final = frozenset({"recipient", "sender"})
_ABSENT: Final = object()


def normalised(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request in the one form in which two are compared.

    Raises:
        ValidationFailed: it is none; its client is answered that, and not that the key is taken.
    """
    return read_query(PayoutRequest, body).normalised()


def key_view(record: KeyRecord) -> dict[str, Any]:
    """What a key holds."""
    return {
        "client_id": record.client_id,
        "idempotency_key": record.idempotency_key,
        "transaction_id": record.transaction_id,
        "created_at": record.created_at,
        "request": _masked_text(record.request_body),
        "response_status": record.response_status,
        "response": _masked_text(record.response_body),
    }


def differences(stored: str, sent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields that differ, by their path, masked after they were compared; None: it is not there."""
    ours, theirs = _flat(_parsed(stored)), _flat(sent)
    names = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name, _ABSENT) != theirs.get(name, _ABSENT)
    )
    return [
        {
            "field": name,
            "stored": _masked(ours.get(name), name.split(".")),
            "sent": _masked(theirs.get(name), name.split(".")),
        }
        for name in names
    ]


def _flat(document: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        return {".".join(path): document}
    flat: dict[str, Any] = {}
    for name, value in document.items():
        flat |= _flat(value, (*path, str(name)))
    return flat


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}


def _masked_text(text: str) -> Any:
    return _masked(_parsed(text), [])


def _masked(value: Any, path: list[str]) -> Any:
    """A value without numbers, secrets and people; its path says what it is."""
    if isinstance(value, Mapping):
        return {name: _masked(item, [*path, str(name)]) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, path) for item in value]
    hidden = any(name in PEOPLE for name in path) or (path and is_secret_name(path[-1]))
    if value is not None and hidden:
        return HIDDEN
    if isinstance(value, str):
        return mask_phone(value)
    return mask_phone(str(value)) if path and is_phone_name(path[-1]) and value is not None else value
