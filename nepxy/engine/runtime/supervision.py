"""How often a child may be restarted before restarting it is no longer the remedy."""

from __future__ import annotations

__all__ = ["RestartIntensity"]


class RestartIntensity:
    """Counts one child's restarts: more than `restarts_max` within `within_s` seconds is too many.

    The rule is OTP's (`MaxR` restarts in `MaxT` seconds; a restart exactly `within_s` ago still
    counts). Pure: time comes in as an argument. Holds at most `restarts_max` + 1 numbers.
    """

    __slots__ = ("_restarted_at", "restarts_max", "within_s")

    def __init__(self, restarts_max: int, within_s: float) -> None:
        """Allow `restarts_max` restarts (0 or more) in any `within_s` seconds (more than 0).

        Raises:
            ValueError: a limit is out of its range.
        """
        if restarts_max < 0:
            raise ValueError(f"restarts_max is {restarts_max}: give 0 (never restart) or more")
        if within_s <= 0:
            raise ValueError(f"within_s is {within_s}: give a number of seconds above 0")
        self.restarts_max = restarts_max
        self.within_s = within_s
        self._restarted_at: list[float] = []

    def record(self, now_monotonic: float) -> bool:
        """Note that a restart is due now, and say whether it is still allowed.

        Args:
            now_monotonic: `Scheduler.monotonic()`, in seconds; never less than in an earlier call.

        Returns:
            False: this one is too many; park the child and call a person.
        """
        horizon = now_monotonic - self.within_s
        recent = [moment for moment in self._restarted_at if moment >= horizon]
        recent.append(now_monotonic)
        self._restarted_at = recent[-(self.restarts_max + 1) :]
        return len(self._restarted_at) <= self.restarts_max
