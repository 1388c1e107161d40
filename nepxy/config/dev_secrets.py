"""Secrets that development makes for itself, so that the first start needs no settings. Never used elsewhere."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from nepxy.config.secret import Secret
from nepxy.errors import ConfigError

_SECRET_BYTES = 32


def ensure_dev_secrets(data_dir: Path) -> Secret:
    """The development JWT secret: the kept one, or a new one that is kept from now on.

    Safe when two processes start at once: both end up with the same secret. Its file is for its owner alone (0600).

    Args:
        data_dir: made if it does not exist (0700).

    Raises:
        ConfigError: the directory cannot be written, or the file holds no secret.
    """
    file = data_dir / "jwt_secret"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create_once(file)
        file.chmod(0o600)
        secret = Secret(file.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [f"NEPXY_DATA_DIR: {file} cannot be kept ({error}); set a directory that this user can write"]
        ) from error
    if len(secret) < _SECRET_BYTES:
        raise ConfigError([f"NEPXY_DATA_DIR: {file} holds no secret; delete it, and a new one is made"])
    return secret


def _create_once(file: Path) -> None:
    if file.exists():
        return
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(_SECRET_BYTES))
        # A link either appears whole or finds another process's file there; a rename would replace that one.
        file.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
