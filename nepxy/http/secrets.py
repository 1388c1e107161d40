"""The secrets that may change while the process runs: those of webhooks, and the keys of tokens.

The first key of tokens signs, both verify. Where there are several nodes a new one is rolled out as
`JWT_SECRET_PREVIOUS` first, so that no node signs what another cannot verify yet (docs/rotating-secrets.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from nepxy.config.secret import Secret
from nepxy.config.settings import Settings
from nepxy.errors import ConfigError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecrets:
    """A provider's two: either verifies."""

    current: Secret
    previous: Secret

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.current or self.previous)


NO_SECRETS = WebhookSecrets(current=Secret(""), previous=Secret(""))


class LiveSecrets:
    """What is in force now. Read and replaced on the event loop only."""

    def __init__(self, settings: Settings) -> None:
        """Begin with those of the start."""
        self._jwt = settings.auth.jwt_secret
        self._jwt_previous = settings.auth.jwt_secret_previous
        self._webhooks = _webhook_secrets(settings)

    @property
    def jwt(self) -> tuple[Secret, Secret]:
        """The keys that verify a token: the current one, which also signs, and the previous one, which may be empty."""
        return self._jwt, self._jwt_previous

    def webhooks(self, provider: str) -> WebhookSecrets:
        """A provider's."""
        return self._webhooks.get(provider, NO_SECRETS)

    def replace(self, settings: Settings) -> tuple[str, ...]:
        """Take those of other settings from now on.

        Returns:
            The variables that changed; never their values.
        """
        changed = []
        webhooks = _webhook_secrets(settings)
        for name, provider in settings.providers.items():
            before, after = self.webhooks(name), webhooks[name]
            if before.current != after.current:
                changed.append(provider.variable("webhook_secret"))
            if before.previous != after.previous:
                changed.append(provider.variable("webhook_secret_previous"))
        # Development makes its own, which no setting holds.
        jwt = settings.auth.jwt_secret or self._jwt
        if self._jwt != jwt:
            changed.append("JWT_SECRET")
        if self._jwt_previous != settings.auth.jwt_secret_previous:
            changed.append("JWT_SECRET_PREVIOUS")
        self._webhooks = webhooks
        self._jwt = jwt
        self._jwt_previous = settings.auth.jwt_secret_previous
        return tuple(changed)

    def reread(self, read: Callable[[], Settings] = Settings.from_environ) -> None:
        """Take those that `.env` and the `*_FILE` files hold now; if the settings are wrong, keep the old ones.

        A process's own variables never change: what shall be re-read comes from files.
        """
        problems: tuple[str, ...] = ()
        try:
            self.reload(read)
        except ConfigError as refused:
            problems = refused.problems
        if problems:
            log.error("secrets.kept", problems=problems)

    def reload(self, read: Callable[[], Settings] = Settings.from_environ) -> tuple[str, ...]:
        """The same for whoever waits for the answer: the variables that changed.

        Raises:
            ConfigError: the settings are wrong, and the old ones are kept.
        """
        changed = self.replace(read())
        log.info("secrets.reread", changed=changed)
        return changed


def _webhook_secrets(settings: Settings) -> Mapping[str, WebhookSecrets]:
    return {
        name: WebhookSecrets(current=one.webhook_secret, previous=one.webhook_secret_previous)
        for name, one in settings.providers.items()
    }
