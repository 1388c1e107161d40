"""A second person decides on a command that another operator gave: it is done just as it was proposed, or never."""

from __future__ import annotations

from typing import Final

from nepxy.config.masking import mask_text
from nepxy.errors import CommandRefused, RequestError, Unavailable
from nepxy.http.auth import ADMIN_WRITE, allows
from nepxy.http.control.dispatch import give
from nepxy.http.control.given import Answered, Given, who
from nepxy.http.control.orders import Order, target_of
from nepxy.http.control.payouts import REASON_BYTES_MAX
from nepxy.http.ids import as_transaction_id
from nepxy.http.operator_views import proposal_view
from nepxy.http.parts import Parts
from nepxy.storage.audit import KeptCommand, keep_command
from nepxy.storage.people import OperatorRecord, find_operator
from nepxy.storage.proposals import Proposal, claim_proposal, find_proposal, note_outcome

APPROVED: Final = "APPROVED"
REJECTED: Final = "REJECTED"


async def approve(
    parts: Parts, operator: OperatorRecord, proposal_id: str, order: Order, request_id: str
) -> Answered:
    """Do a proposed command, at the version that its proposer looked at and no other.

    Raises:
        CommandRefused: there is no such proposal any more, the approver is its proposer, or the command is refused.
        Unavailable: nobody can say whether it was done; approved again by the same person, it is done once.
    """
    proposal = await _found(parts, proposal_id)
    if proposal.proposed_by == who(operator.operator_id):
        raise CommandRefused(
            "SECOND_PERSON_IS_THE_FIRST", "you proposed this command: another operator must approve it"
        )
    await _check_proposer(parts, proposal)
    await _claim(parts, operator, proposal, APPROVED)
    await _keep(parts, operator, proposal, order, "approve", request_id)
    given = Given(
        operator_id=proposal.proposed_by.partition(":")[2],
        request_id=request_id,
        second_person=who(operator.operator_id),
    )
    fields = {"command_id": f"proposal:{proposal.proposal_id}", **proposal.arguments}
    try:
        answered = await give(
            parts, given, target_of(proposal.target), proposal.command, fields | {"reason": proposal.reason}
        )
    except Unavailable:
        raise
    except RequestError as refused:
        await parts.front.reader.run(note_outcome, proposal.proposal_id, refused.code)
        raise
    outcome = str(answered.document.get("outcome"))
    await parts.front.reader.run(note_outcome, proposal.proposal_id, outcome)
    shown = proposal_view(await _found(parts, proposal.proposal_id))
    return Answered(status=answered.status, document=answered.document | {"proposal": shown})


async def reject(
    parts: Parts, operator: OperatorRecord, proposal_id: str, order: Order, request_id: str
) -> Answered:
    """Let a proposed command never be done; its proposer may take it back so, too.

    Raises:
        CommandRefused: there is no such proposal any more.
    """
    proposal = await _found(parts, proposal_id)
    await _claim(parts, operator, proposal, REJECTED)
    await _keep(parts, operator, proposal, order, "reject", request_id)
    document = {
        "outcome": "APPLIED",
        "command": "reject",
        "target": f"proposals/{proposal.proposal_id}",
        "what": f"{proposal.command} of {proposal.target} is rejected.",
        "what_next": "Nothing was done, and nothing will be: whoever wants it gives the command again.",
        "proposal": proposal_view(await _found(parts, proposal.proposal_id)),
    }
    return Answered(status=200, document=document)


async def _found(parts: Parts, proposal_id: str) -> Proposal:
    known = as_transaction_id(proposal_id)
    proposal = await parts.front.reader.run(find_proposal, known) if known is not None else None
    if proposal is None:
        raise CommandRefused("PROPOSAL_NOT_FOUND", f"there is no proposal {proposal_id[:80]}")
    return proposal


async def _check_proposer(parts: Parts, proposal: Proposal) -> None:
    """Two persons stand behind it only while the first one still may give commands."""
    proposer = await parts.apart.run(find_operator, proposal.proposed_by.partition(":")[2])
    if proposer is None or proposer.disabled or not allows(proposer.scopes, ADMIN_WRITE):
        raise CommandRefused(
            "PROPOSAL_CLOSED", f"{proposal.proposed_by} may give no commands any more: give it anew yourself"
        )


async def _claim(parts: Parts, operator: OperatorRecord, proposal: Proposal, state: str) -> None:
    claimed = await parts.front.reader.run(
        claim_proposal, proposal.proposal_id, who=who(operator.operator_id), state=state
    )
    if claimed is not None:
        return
    now = await _found(parts, proposal.proposal_id)
    if now.state == "OPEN":
        raise CommandRefused("PROPOSAL_CLOSED", f"the proposal lapsed at {now.expires_at.isoformat()}")
    raise CommandRefused("PROPOSAL_CLOSED", f"the proposal is {now.state} by {now.decided_by}")


async def _keep(
    parts: Parts, operator: OperatorRecord, proposal: Proposal, order: Order, word: str, request_id: str
) -> None:
    kept = KeptCommand(
        who=who(operator.operator_id),
        command=word,
        target=f"proposals/{proposal.proposal_id}",
        reason=mask_text(order.reason, REASON_BYTES_MAX),
        outcome="APPLIED",
        arguments={
            "command": proposal.command,
            "target": proposal.target,
            "proposed_by": proposal.proposed_by,
        },
        request_id=request_id,
    )
    await parts.front.reader.run(keep_command, kept)
