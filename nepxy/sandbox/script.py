"""The vocabulary in which a provider's behaviour is written down as data: does it act, what does it say, what follows.

A script is a value. Magic numbers choose one, faults bend one; the code that performs it has no case per number.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Status(StrEnum):
    """Where the provider says that an order is."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class Acts(Enum):
    """Whether, and when, the provider takes up an order; only an order that was taken up can move money."""

    NEVER = auto()
    AT_ONCE = auto()
    LATE = auto()
    """After `late_reply_s`: the client has given up, and an early look-up found nothing."""


class Reply(Enum):
    """What the submit's client gets to see; it says nothing about whether the provider acted."""

    ACCEPTED = auto()
    SLOW = auto()
    LATE = auto()
    HANG = auto()
    RESET = auto()
    GARBAGE_200 = auto()
    ERROR_500 = auto()
    HTML_502 = auto()
    MAINTENANCE_503 = auto()
    THROTTLED_429 = auto()
    REJECTED_422 = auto()
    INSUFFICIENT_FLOAT_402 = auto()
    INSUFFICIENT_FLOAT_403 = auto()
    IP_NOT_ALLOWED_403 = auto()
    BAD_CREDENTIALS_401 = auto()


class Signature(Enum):
    """How a webhook is signed."""

    GOOD = auto()
    WRONG = auto()
    MISSING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One webhook."""

    says: Status | None = None
    """What it claims; None: the order's own status at that moment."""
    signature: Signature = Signature.GOOD
    with_status: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happens to an order after it was accepted."""

    after: float = 1.0
    """In settle delays since acceptance; 0 means before the submit is answered."""
    becomes: Status | None = None
    """The order's new status; becoming SUCCESS is what moves the money. None: only notices."""
    notices: tuple[Notice, ...] = ()


SUCCEEDS = (Step(becomes=Status.SUCCESS, notices=(Notice(),)),)
FAILS = (Step(becomes=Status.FAILED, notices=(Notice(),)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How one submit goes, from its request to its last webhook."""

    name: str
    suffix: str = ""
    """The last four digits that choose it; empty: every other number."""
    what: str
    """What happens, for people."""
    acts: Acts = Acts.AT_ONCE
    reply: Reply = Reply.ACCEPTED
    course: tuple[Step, ...] = SUCCEEDS

    @property
    def pays(self) -> bool:
        """Whether money moves, once it was taken up."""
        return any(step.becomes is Status.SUCCESS for step in self.course)
