"""What a node is called, and whether the process of that name is gone: told only about this very machine.

A name is `HOST-PID-PLACE-RANDOM`. The place is the boot and the process namespace, in which a process id means one
process: of another container, another machine, or before the last boot nothing is known here.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path
from typing import Final

NOWHERE: Final = "0"
"""Where the kernel does not tell: nobody is known to be gone."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE: Final = Path("/proc/self/ns/pid")


def new_node_id() -> str:
    """A name for this process; another one each time."""
    return f"{socket.gethostname()}-{os.getpid()}-{_place()}-{secrets.token_hex(4)}"


def is_gone(node_id: str) -> bool:
    """Whether that process has ended for certain; False also where nothing is known of it."""
    parts = node_id.rsplit("-", 3)
    if len(parts) < 4 or not parts[1].isdecimal() or parts[2] in (NOWHERE, "") or parts[2] != _place():
        return False
    return not _lives(int(parts[1]))


def _lives(pid: int) -> bool:
    """A process that was killed and not yet waited for by its parent has ended, too (proc(5): state Z)."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except ProcessLookupError:
        return False
    except OSError:
        # Another user's, which may be hidden from us.
        return True
    return state.split()[:1] not in (["Z"], ["X"])


def _place() -> str:
    try:
        told = f"{_BOOT.read_text(encoding='ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return NOWHERE
    return hashlib.sha256(told.encode()).hexdigest()[:8]
