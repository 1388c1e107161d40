"""Bad luck that is set at run time: rates, delays and outages, drawn from the seed so that a run can be repeated.

A draw depends only on the seed, the reference, how often it was submitted and the knob's name, never on the order in
which concurrent requests happen to arrive.
"""

from dataclasses import replace
from hashlib import blake2b
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nepxy.sandbox.config import DuplicateBehaviour
from nepxy.sandbox.script import Acts, Reply, Script

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0, le=600.0)]

_ERRORS = (Reply.ERROR_500, Reply.HTML_502, Reply.MAINTENANCE_503)


class Faults(BaseModel):
    """One provider's knobs; the defaults are a good day. Rates are shares of submits, 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    down: bool = False
    """Every request of the provider's protocol is answered by a connection reset."""
    drop_before_rate: Rate = 0.0
    """The connection is reset and nothing was acted on."""
    drop_after_rate: Rate = 0.0
    """Acted on as usual, then the connection is reset."""
    error_before_rate: Rate = 0.0
    """500, 502 or 503, and nothing was acted on."""
    error_after_rate: Rate = 0.0
    """Acted on as usual, then 500, 502 or 503."""
    status_error_rate: Rate = 0.0
    """Share of status reads that answer 500."""
    delay_s_min: Seconds = 0.0
    delay_s_max: Seconds = 0.0
    """Every answer waits, uniformly between the two; for half of the submits the wait comes before acting."""
    duplicate_webhook_rate: Rate = 0.0
    """Share of webhooks that are sent three times."""
    lost_webhook_rate: Rate = 0.0
    """Share of webhooks that are never sent."""
    out_of_float: bool = False
    """Every submit is refused with 402 INSUFFICIENT_FLOAT until this is switched off."""
    duplicate_behaviour: Annotated[DuplicateBehaviour | None, Field(strict=False)] = None
    """Overrides the provider's configured behaviour; None: as configured."""

    @model_validator(mode="after")
    def _delays_are_ordered(self) -> Self:
        if self.delay_s_max < self.delay_s_min:
            raise ValueError("delay_s_max is below delay_s_min")
        return self

    def changed(self, patch: dict[str, object]) -> "Faults":
        """A copy with some knobs turned; the rest stay as they are.

        Raises:
            pydantic.ValidationError: an unknown knob, or a value out of its range.
        """
        return Faults.model_validate({**self.model_dump(), **patch})


GOOD_DAY = Faults()


def draw(seed: int, *parts: str | int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = blake2b("\x1f".join(map(str, (seed, *parts))).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


class Dice:
    """The draws of one event, such as the second submit of one reference."""

    __slots__ = ("_parts", "_seed")

    def __init__(self, seed: int, *parts: str | int) -> None:
        self._seed = seed
        self._parts = parts

    def hits(self, knob: str, rate: float) -> bool:
        """Whether a knob with this rate strikes."""
        return rate > 0.0 and draw(self._seed, knob, *self._parts) < rate

    def between(self, knob: str, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low if low == high else low + (high - low) * draw(self._seed, knob, *self._parts)


def bend(script: Script, faults: Faults, dice: Dice) -> Script:
    """The script after today's faults had their turn; what happens after acceptance is never changed here."""
    if faults is GOOD_DAY:
        return script
    if faults.out_of_float:
        return replace(script, acts=Acts.NEVER, reply=Reply.INSUFFICIENT_FLOAT_402)
    if dice.hits("drop_before", faults.drop_before_rate):
        return replace(script, acts=Acts.NEVER, reply=Reply.RESET)
    if dice.hits("error_before", faults.error_before_rate):
        return replace(script, acts=Acts.NEVER, reply=_an_error(dice))
    if dice.hits("drop_after", faults.drop_after_rate):
        return replace(script, reply=Reply.RESET)
    if dice.hits("error_after", faults.error_after_rate):
        return replace(script, reply=_an_error(dice))
    return script


def _an_error(dice: Dice) -> Reply:
    return _ERRORS[int(dice.between("which_error", 0, len(_ERRORS)))]
