"""One request and generation, one reference."""

from __future__ import annotations

import uuid

from nepxy.engine.references import submission_ref
from tests.factories import a_reference


def test_a_reference_is_a_uuid4_and_the_same_each_time() -> None:
    assert a_reference() == a_reference()
    assert uuid.UUID(a_reference()).version == 4
    assert str(uuid.UUID(a_reference())) == a_reference()


def test_no_two_requests_or_generations_share_a_reference() -> None:
    names = [("i", "a", "bc", 0), ("i", "ab", "c", 0), ("ia", "", "bc", 0), ("i", "a", "bc", 1)]
    references = {
        submission_ref(installation_id=i, client_id=c, idempotency_key=k, generation=g)
        for i, c, k, g in names
    }
    assert len(references) == len(names)
