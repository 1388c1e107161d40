"""What must be true after a run, whatever happened in it: the money rules, told by those who would suffer.

The provider's ledger knows what was paid, the client what it was promised, the database what we say. No check
reads the engine's own opinion of itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from nepxy.engine.outcomes import Finding
from nepxy.engine.payout import MOVES, Payout, Status, SubmissionRef
from tests.simulation.client import Client
from tests.simulation.database import AuditRow
from tests.simulation.providers import SimProvider, State
from tests.simulation.town import Town, transaction_of

GENERATIONS_MAX = 12
ALLOWED = dict(MOVES)
"""As they were when this was loaded: a run that loosens them is caught."""
INTENTS = ("ATTEMPT_STARTED", "RESEND_STARTED")


def violations(town: Town) -> list[str]:
    """Every rule that the run broke, as sentences; none: it kept them all."""
    found = list(town.violations)
    found += [f"nobody handled: {error}" for error in town.world.errors]
    for provider in town.providers.values():
        found += [f"{provider.name}: {violation}" for violation in provider.violations]
        found += _sent_twice(provider)
    found += _left_parked(town)
    for client in town.clients:
        found += client.problems
        found += _promises(town, client)
    for payout in town.tables.payouts.values():
        found += _history(town, payout)
    found += _pauses(town)
    return found


def _pauses(town: Town) -> Iterator[str]:
    """The engine lifts only its own pauses, and every pause ends (rule 10)."""
    last: dict[str, AuditRow] = {}
    for row in town.tables.audit:
        if row.command not in ("pause", "resume"):
            continue
        before = last.get(row.target)
        if row.command == "resume" and row.who == "engine" and (before is None or before.who != "engine"):
            yield f"the engine lifted the pause of {row.target} by {before.who if before else 'nobody'} (rule 10)"
        last[row.target] = row


def _left_parked(town: Town) -> Iterator[str]:
    """A signed webhook that names a payout of ours in any way is joined with it in the end (rule 9)."""
    for event in town.tables.webhooks.values():
        webhook = event.webhook
        if event.state != "PARKED" or not webhook.signature_valid:
            continue
        provider = town.providers[webhook.provider]
        reference = provider.reference_of(webhook.provider_ref, webhook.our_ref)
        attempt = town.tables.attempts.get(SubmissionRef(reference)) if reference is not None else None
        row = town.tables.payouts.get(attempt.transaction_id) if attempt is not None else None
        if row is None or row.submission_ref != reference:
            continue
        told = [
            each.evidence.provider_ref for each in town.tables.events[row.transaction_id] if each.evidence
        ]
        names_ours = webhook.our_ref is not None or webhook.provider_ref == reference
        if names_ours or webhook.provider_ref in told:
            yield f"a webhook of {row.idempotency_key} ({webhook.status_word}) is still parked (rule 9)"


def _promises(town: Town, client: Client) -> Iterator[str]:
    """One client's payout: never lost, never paid twice, and what we say of it is so."""
    key = client.wish.key
    transaction_id = transaction_of(town, client)
    if client.acknowledged is None:
        yield f"{key} was never acknowledged, although the faults have stopped"
        return
    if transaction_id != client.acknowledged:
        yield f"{key} was acknowledged as {client.acknowledged}, and the database has {transaction_id} (rule 1)"
        return
    payout = town.tables.payouts.get(client.acknowledged)
    if payout is None:
        yield f"{key} was acknowledged, and is missing (rule 1)"
        return
    if client.cancelled_answer is not None and payout.status is not Status.CANCELLED:
        yield f"{key} was cancelled, its client was told so, and it is {payout.status} (rule 6)"
    yield from _money(town, client, payout)
    yield from _ending(town, client, payout)


def _money(town: Town, client: Client, payout: Payout) -> Iterator[str]:
    wish = client.wish
    provider = town.providers[wish.provider]
    references = [wish.reference(generation) for generation in range(GENERATIONS_MAX)]
    payments = provider.payments_of(*references)
    elsewhere = [
        payment
        for other in town.providers.values()
        if other is not provider
        for payment in other.payments_of(*references)
    ]
    lies = any(provider.contradicted(reference) for reference in references)
    if elsewhere:
        yield f"{wish.key} was paid by another provider than its own"
    if len(payments) > 1 and not lies:
        yield f"{wish.key} was paid {len(payments)} times"
    for payment in payments:
        if (payment.amount, payment.phone_e164) != (wish.amount, wish.phone_e164):
            yield f"{wish.key}: {payment.amount} was paid, and {wish.amount} was wanted (rule 11)"
    kinds = [
        kind for transaction_id, kind in town.tables.discrepancies if transaction_id == payout.transaction_id
    ]
    if payout.status is Status.CONFIRMED and not payments and not lies:
        yield f"{wish.key} is CONFIRMED, and no money left"
    if payout.status in (Status.FAILED, Status.CANCELLED) and payments and not lies:
        yield f"{wish.key} is {payout.status}, and was paid"
    beside = [payment.reference for payment in payments if payment.reference != payout.submission_ref]
    if any(town.heard.get(reference) is Finding.PAID for reference in beside) and not kinds:
        yield f"{wish.key} was paid under an older reference, a webhook said so, and no discrepancy does (rule 5)"
    if any(reference in town.told_reversed for reference in references) and "REVERSED" not in kinds:
        yield f"{wish.key} was reversed, a webhook said so, and no discrepancy says so (rule 6)"


def _ending(town: Town, client: Client, payout: Payout) -> Iterator[str]:
    """Final, or with a person who is truly needed."""
    if payout.status in (Status.PENDING, Status.SENT):
        yield f"{client.wish.key} is still {payout.status} ({payout.status_reason}: {payout.last_error})"
    if payout.status is Status.REVIEW and not payout.last_error:
        yield f"{client.wish.key} is in REVIEW, and nothing says what to do"
    if payout.status is Status.REVIEW:
        provider = town.providers[payout.provider]
        why_not = _a_person_is_needed(town, provider, payout)
        if why_not is not None:
            yield f"{client.wish.key} is in REVIEW ({payout.status_reason}), and needs nobody: {why_not}"


def _a_person_is_needed(town: Town, provider: SimProvider, payout: Payout) -> str | None:
    """None if so; else how the engine could have found out by itself."""
    references = [
        attempt.submission_ref
        for attempt in town.tables.attempts.values()
        if attempt.transaction_id == payout.transaction_id
    ]
    if any(provider.contradicted(ref) or provider.misreported(ref) for ref in references):
        return None
    match payout.status_reason:
        case "CRASHED_TOO_OFTEN":
            return None if town.injected["payout_actor_crash"] else "no actor was made to crash"
        case "ACCOUNT_CHANGED":
            return None if town.injected["account_changed"] else "the account never changed"
    if town.injected["account_changed"] and payout.account != town.accounts[payout.provider]:
        return None
    truth = provider.truth(payout.submission_ref)
    contract = provider.capabilities
    if truth is None and payout.status_reason == "OVERDUE":
        return "the provider never had it"
    if truth is None:
        if not contract.resend_allowed:
            return None
        spent = payout.repeat_barred or payout.counted_attempts >= 4
        if spent or town.world.now() >= payout.expires_at:
            return None
        return "a repeat is proven to be harmless, and tries were left"
    heard = town.heard.get(payout.submission_ref)
    # Of several attempts, an unasked "unpaid" may mean an earlier one: it makes the engine ask, where it can.
    if heard is not None and (heard is Finding.PAID or payout.attempt_count == 1):
        return f"a signed webhook said {heard.value}"
    if truth is State.UNPAID and not provider.habits.says_unpaid:
        return None
    if truth is State.REVERSED and (payout.transaction_id, "REVERSED") in town.tables.discrepancies:
        # Taken back before anybody saw it paid: whether that is an end, a person says.
        return None
    if contract.lookup_by_reference and provider.habits.blind_to_ours and not payout.is_taken:
        # While nobody knows whether it was taken, it is asked by our name, which says nothing here.
        return None
    if contract.lookup_by_reference and not provider.habits.blind_to_ours:
        return f"a look-up by our reference says {truth.value}"
    if contract.status_by_provider_ref and payout.provider_ref is not None:
        return f"a poll says {truth.value}"
    return None


def _history(town: Town, payout: Payout) -> Iterator[str]:
    """The events lead to the row, one settlement among them, and each names what proved it (rules 5, 6 and 7)."""
    name = payout.transaction_id
    moves = town.tables.events[name]
    if not moves or moves[0].from_status is not None:
        yield f"{name}: its history does not begin at its beginning (rule 7)"
        return
    if [event.version for event in moves] != list(range(1, payout.version + 1)):
        yield f"{name}: versions {[event.version for event in moves]} do not lead to {payout.version} (rule 7)"
    for earlier, later in pairwise(moves):
        if later.from_status != earlier.to_status:
            yield f"{name}: {earlier.to_status} was followed by one from {later.from_status} (rule 7)"
        if Status(str(later.to_status)) not in ALLOWED[Status(str(later.from_status))]:
            yield f"{name}: {later.from_status} -> {later.to_status} is no move (rule 6)"
        if later.evidence is None or not later.evidence.source:
            yield f"{name}: nothing proves {later.from_status} -> {later.to_status} (rule 5)"
    if moves[-1].to_status != payout.status:
        yield f"{name}: its history ends in {moves[-1].to_status}, its row says {payout.status} (rule 7)"
    settlements = [
        event
        for event in moves
        if Status(str(event.to_status)).is_final and event.from_status != event.to_status
    ]
    if len(settlements) != int(payout.status.is_final):
        yield f"{name}: settled {len(settlements)} times, and is {payout.status} (rule 6)"
    intents = [event for event in moves if event.why in INTENTS]
    adopted = any(event.why == "ADOPTED" for event in moves)
    if len(intents) != payout.attempt_count and not adopted:
        yield f"{name}: {len(intents)} intents, attempt_count is {payout.attempt_count} (rule 2)"
    for intent in intents:
        for provider, begin, end in town.pauses:
            if provider == payout.provider and begin < intent.at < end:
                yield f"{name}: an attempt began while {provider} was paused (rule 10)"
        for provider, begin, end in town.retry_pauses:
            again = (intent.attempt or 0) > 1
            if provider == payout.provider and again and begin < intent.at < end:
                yield f"{name}: sent again while retries to {provider} were paused (rule 10)"
    payout.check()


def _sent_twice(provider: SimProvider) -> Iterator[str]:
    """One attempt, one request; what a repeat meets at the provider is in its own violations (rules 2 and 4)."""
    seen: dict[tuple[str, int], str] = {}
    for request in provider.sends:
        attempt = (request.reference, request.attempt)
        if attempt in seen:
            yield f"{request.reference} attempt {request.attempt} left {seen[attempt]} and {request.node} (rule 2)"
        seen[attempt] = request.node
