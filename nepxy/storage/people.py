"""Clients and operators: who may call, with which scopes. Secrets are stored as Argon2 hashes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import peewee
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from nepxy.storage.models import ApiClient, Operator

# RFC 9106's second recommended option would take 64 MiB a login; these are OWASP's minimum for Argon2id.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
HASHES_MAX: Final = 2
"""Of one identity: the secret's, and that of the one before, which a client may go on using."""


class NamesakeRegistered(Exception):
    """An operator's id differs from this registered one in upper and lower case only."""

    def __init__(self, registered_id: str) -> None:
        """`registered_id` is how it is written."""
        super().__init__(f"there is an operator {registered_id!r}")
        self.registered_id = registered_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client as the front end needs it."""

    client_id: str
    name: str
    scopes: tuple[str, ...]
    external_ref_unique: bool
    disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRecord:
    """An operator as the front end needs it."""

    operator_id: str
    name: str
    scopes: tuple[str, ...]
    disabled: bool


def find_client(database: peewee.Database, client_id: str) -> ClientRecord | None:
    """A registered client."""
    row = ApiClient.select().where(ApiClient.client_id == client_id).execute(database)
    return next((_client(found) for found in row), None)


def find_operator(database: peewee.Database, operator_id: str) -> OperatorRecord | None:
    """A registered operator."""
    rows = Operator.select().where(Operator.operator_id == operator_id).execute(database)
    return next((_operator(found) for found in rows), None)


def authenticate(
    database: peewee.Database, identity: str, secret: str
) -> ClientRecord | OperatorRecord | None:
    """The client or operator whose secret this is; None without a word about which part was wrong.

    A wrong secret costs as many Argon2 verifications whoever it is said to be of, so that time does not tell who
    exists, nor whose secret is being rotated.
    """
    person, hashes = _known(database, identity)
    if any(_matches(known, secret) for known in hashes):
        return person
    for _ in range(HASHES_MAX - len(hashes)):
        _matches(_nobodys_hash(), secret)
    return None


def _known(
    database: peewee.Database, identity: str
) -> tuple[ClientRecord | OperatorRecord | None, list[str]]:
    """Who this is, and the hashes of the secrets that are good for it; None and none where it is nobody."""
    client = next(iter(ApiClient.select().where(ApiClient.client_id == identity).execute(database)), None)
    if client is not None:
        return _client(client), [one for one in (client.secret_hash, client.secret_previous_hash) if one]
    operator = next(iter(Operator.select().where(Operator.operator_id == identity).execute(database)), None)
    return (_operator(operator), [operator.secret_hash]) if operator is not None else (None, [])


def save_client(
    database: peewee.Database,
    *,
    client_id: str,
    name: str,
    secret: str,
    scopes: Sequence[str] = ("payouts:write", "payouts:read"),
    external_ref_unique: bool = True,
) -> None:
    """Register a client, or give a registered one a new secret; the one before goes on working."""
    hashed = HASHER.hash(secret)
    ApiClient.insert(
        client_id=client_id,
        name=name,
        secret_hash=hashed,
        scopes=" ".join(scopes),
        external_ref_unique=external_ref_unique,
    ).on_conflict(
        conflict_target=[ApiClient.client_id],
        update={ApiClient.secret_previous_hash: ApiClient.secret_hash, ApiClient.secret_hash: hashed},
    ).execute(database)


def save_operator(
    database: peewee.Database,
    *,
    operator_id: str,
    name: str,
    secret: str,
    scopes: Sequence[str] | None = None,
) -> None:
    """Register an operator, or give a registered one a new secret.

    `scopes`: None is `admin` for a new one, and what was granted before for a known one.

    Raises:
        NamesakeRegistered: somebody has this id in other letters; both would read as one person, and count as two.
    """
    same = (peewee.fn.lower(Operator.operator_id) == operator_id.lower()) & (
        Operator.operator_id != operator_id
    )
    for namesake in Operator.select().where(same).execute(database):
        raise NamesakeRegistered(namesake.operator_id)
    hashed = HASHER.hash(secret)
    update: dict[Any, Any] = {Operator.secret_hash: hashed}
    if scopes is not None:
        update[Operator.scopes] = " ".join(scopes)
    Operator.insert(
        operator_id=operator_id, name=name, secret_hash=hashed, scopes=" ".join(scopes or ("admin",))
    ).on_conflict(conflict_target=[Operator.operator_id], update=update).execute(database)


def _matches(known: str, secret: str) -> bool:
    try:
        return HASHER.verify(known, secret)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return HASHER.hash("nobody's secret")


def _client(row: ApiClient) -> ClientRecord:
    return ClientRecord(
        client_id=row.client_id,
        name=row.name,
        scopes=tuple(row.scopes.split()),
        external_ref_unique=row.external_ref_unique,
        disabled=row.disabled_at is not None,
    )


def _operator(row: Operator) -> OperatorRecord:
    return OperatorRecord(
        operator_id=row.operator_id,
        name=row.name,
        scopes=tuple(row.scopes.split()),
        disabled=row.disabled_at is not None,
    )
