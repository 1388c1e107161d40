"""That the database came out of a backup: what its rows cannot know, and until when that matters.

A restore is a time machine: what was sent, settled or posted after the backup was taken is not in the rows. See
docs/decisions/0009-restored-database.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

REPOSTS_FOR_H: Final = 72.0
"""How long after a release what looks new may be a re-post, unless the operator says otherwise: as long as a payout
waits out an outage by default, after which its client has heard that it failed."""
REPOSTS_FOR_H_MAX: Final = 8_760.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The last restore that was noticed, or that the restore script told of. Times are the database's, in UTC."""

    at: datetime
    """When it was noticed: rows that are older came out of the backup."""
    doubt_until: datetime | None
    """Until when a payout that looks new counts as the re-post of one that the backup had lost. None: nobody has
    released the engine yet, so there is no end to it."""

    @property
    def held(self) -> bool:
        """Whether nothing may be submitted until an operator releases it."""
        return self.doubt_until is None
