"""References: how a payout is called towards its provider, the same until failure is proven (money rule 3)."""

from __future__ import annotations

import hashlib
import uuid

from nepxy.engine.payout import SubmissionRef


def submission_ref(
    *, installation_id: str, client_id: str, idempotency_key: str, generation: int
) -> SubmissionRef:
    """Derive the reference that every submit of this generation carries.

    A pure function of what names the client's request, so that a re-post after a restore from an older
    backup carries the reference that the provider may already know. MTN takes nothing but a UUIDv4
    (provider page 3.3 [D]), hence the shape; the content is a SHA-256, so collisions are not a concern.

    Args:
        installation_id: this installation's identity, from `app.engine_identity`; never changes.
        client_id: whose request it is.
        idempotency_key: the client's name for the request.
        generation: 0 at first; raised only after a proven failure.

    Returns:
        A lower-case UUIDv4 in its text form.
    """
    parts = (installation_id, client_id, idempotency_key, str(generation))
    # Each part is prefixed with its length: ("a", "bc") and ("ab", "c") must not meet.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(b"nepxy/submission-ref/1 " + text.encode()).digest()
    return SubmissionRef(str(uuid.UUID(bytes=digest[:16], version=4)))
