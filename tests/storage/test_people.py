"""A wrong secret tells nobody anything: not by its answer, and not by the time that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import peewee
import pytest

from nepxy.storage import people
from nepxy.storage.database import connect_writer
from nepxy.storage.people import (
    ClientRecord,
    NamesakeRegistered,
    authenticate,
    save_client,
    save_operator,
)


@pytest.fixture
def database(database_url: str) -> Iterator[peewee.PostgresqlDatabase]:
    made = connect_writer(database_url, statement_timeout_s=10, connect_timeout_s=5)
    with closing(made):
        save_client(made, client_id="settled", name="Settled", secret="the only secret")
        for secret in ("the old secret", "the new secret"):
            save_client(made, client_id="rotating", name="Rotating", secret=secret)
        save_operator(made, operator_id="ama", name="Ama", secret="ama's secret")
        yield made


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that were verified: each takes tens of milliseconds, and nothing else does."""
    seen: list[str] = []
    matches = people._matches

    def counted(known: str, secret: str) -> bool:
        seen.append(known)
        return matches(known, secret)

    monkeypatch.setattr(people, "_matches", counted)
    return seen


@pytest.mark.parametrize("identity", ["settled", "rotating", "ama", "nobody", ""])
@pytest.mark.parametrize("secret", ["wrong", "nobody's secret", ""])
def test_a_wrong_secret_costs_the_same_whoever_it_is_said_to_be_of(
    database: peewee.PostgresqlDatabase, costs: list[str], identity: str, secret: str
) -> None:
    assert authenticate(database, identity, secret) is None
    assert len(costs) == 2
    assert all(cost.startswith("$argon2id$") for cost in costs)


@pytest.mark.parametrize(
    ("identity", "secret"),
    [("settled", "the only secret"), ("rotating", "the new secret"), ("rotating", "the old secret")],
)
def test_a_right_secret_says_whose_it_is(
    database: peewee.PostgresqlDatabase, identity: str, secret: str
) -> None:
    found = authenticate(database, identity, secret)
    assert isinstance(found, ClientRecord)
    assert found.client_id == identity


def test_two_operators_never_differ_in_upper_and_lower_case_only(
    database: peewee.PostgresqlDatabase,
) -> None:
    """One person under both would be the second person of their own proposals, and nobody would see it."""
    with pytest.raises(NamesakeRegistered) as raised:
        save_operator(database, operator_id="Ama", name="Ama", secret="another secret")
    assert raised.value.registered_id == "ama"
    assert authenticate(database, "Ama", "another secret") is None
    save_operator(database, operator_id="ama", name="Ama", secret="the next secret")
    assert authenticate(database, "ama", "the next secret") is not None
