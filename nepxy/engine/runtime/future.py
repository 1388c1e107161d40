"""The future that `ref.ask(message, block=False)` returns for an actor on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pykka import ThreadingFuture

from nepxy.engine.runtime.scheduler import Scheduler

if TYPE_CHECKING:
    from pykka._types import OptExcInfo

__all__ = ["LoopFuture"]

T = TypeVar("T")


class LoopFuture(ThreadingFuture[T]):
    """pykka's future, which refuses to block the one thread that could resolve it.

    Other threads may wait on it. In the loop's own thread use `nepxy.engine.runtime.ask`.
    """

    scheduler: Scheduler | None = None
    """The loop on which the asked actor takes its turns; None in futures that only map another's value."""

    is_resolved: bool = False
    """Whether `get` would return at once."""

    def get(self, *, timeout: float | None = None) -> Any:
        """The value, or its exception raised; see `pykka.Future.get`. `timeout` is in seconds.

        Raises:
            RuntimeError: there is no value yet and the caller is in the loop's thread (`await` on this
                future ends here too): waiting would stop the loop, and with it the actor that is to answer.
        """
        if not self.is_resolved and self.scheduler is not None and self.scheduler.in_loop_thread():
            raise RuntimeError(
                "waiting here would block the event loop on which the asked actor runs: "
                "use `await nepxy.engine.runtime.ask(ref, message, timeout_s=...)`"
            )
        return super().get(timeout=timeout)

    def set(self, value: Any | None = None) -> None:
        """Resolve with a value; see `pykka.Future.set`."""
        super().set(value)
        self.is_resolved = True

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Resolve with an exception; see `pykka.Future.set_exception`."""
        super().set_exception(exc_info)
        self.is_resolved = True
