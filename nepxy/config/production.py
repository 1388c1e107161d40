"""What production refuses, though every field is well-formed: that which would let somebody take money, or read it.

Lines as in `rules`: `NAME: what is wrong; what to do`. Sources: the deployment checklist (SECURITY.md), RFC 7518
(section 3.2, the length of HS256's key).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit

from nepxy.config.groups import Mode
from nepxy.config.secret import Secret

if TYPE_CHECKING:
    from nepxy.config.settings import Settings

WEBHOOK_SECRET_CHARACTERS_MIN: Final = 16
_DISTINCT_MIN: Final = 5
_GUESSED_FIRST: Final = (
    "changeme",
    "change-me",
    "change_me",
    "example",
    "placeholder",
    "your-secret",
    "default",
    "everybody-knows",  # deploy/sandbox.env
)
"""What examples and templates hold, and everybody tries first."""
_WEAK_WORDS: Final = frozenset(
    {"", "postgres", "password", "nepxy", "secret", "admin", "root", "test", "sandbox"}
)
_ENCRYPTED: Final = ("require", "verify-ca", "verify-full")
_RANDOM: Final = "set 32 random characters (openssl rand -base64 32)"


def refusals(settings: Settings) -> Iterator[str]:
    """Why these settings may not go into production."""
    yield from _secrets(settings)
    yield from _database(settings)
    if "*" in settings.http.cors_allow_origins:
        yield "CORS_ALLOW_ORIGINS: * lets every page call the API; name the origins, such as https://app.example.com"
    if settings.thunes.allow_unsigned_webhooks:
        yield "THUNES_ALLOW_UNSIGNED_WEBHOOKS: anybody could then send webhooks; unset it"
    if settings.mode is Mode.SANDBOX:
        yield "MM_MODE: is sandbox: no real money would move; set real, or ENV=staging to try things out"
    if settings.log.level == "debug":
        yield "NEPXY_LOG_LEVEL: debug writes more than a log should keep of people's money; set info"


def _secrets(settings: Settings) -> Iterator[str]:
    for name, secret in (
        ("JWT_SECRET", settings.auth.jwt_secret),
        ("JWT_SECRET_PREVIOUS", settings.auth.jwt_secret_previous),
    ):
        if secret and is_guessable(secret):
            yield f"{name}: is one that anybody would try; {_RANDOM}"
    for provider in settings.providers.values():
        if not provider.enabled:
            continue
        for field in ("webhook_secret", "webhook_secret_previous"):
            secret, variable = getattr(provider, field), provider.variable(field)
            if 0 < len(secret) < WEBHOOK_SECRET_CHARACTERS_MIN:
                yield f"{variable}: is shorter than {WEBHOOK_SECRET_CHARACTERS_MIN} characters; {_RANDOM}"
            elif secret and is_guessable(secret):
                yield f"{variable}: is one that anybody would try; {_RANDOM}"


def is_guessable(secret: Secret) -> bool:
    """Whether it is a template's word, or a handful of characters over and over."""
    text = secret.get_secret_value().strip()
    return len(set(text)) < _DISTINCT_MIN or any(word in text.lower() for word in _GUESSED_FIRST)


def _database(settings: Settings) -> Iterator[str]:
    url = settings.database.url.get_secret_value()
    if not url:
        return
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    host = parts.hostname or options.get("host", [""])[0]
    if _is_here(host):
        return
    if unquote(parts.password or "").lower() in _WEAK_WORDS:
        yield "DATABASE_URL: its password is missing, or one that anybody would try; give the role a random one"
    mode = options.get("sslmode", [""])[0]
    if mode not in _ENCRYPTED and not settings.database.plaintext_allowed:
        yield (
            "DATABASE_URL: goes to another machine without TLS; add ?sslmode=verify-full (or require), or set "
            "NEPXY_DATABASE_PLAINTEXT_ALLOWED=true where the network between them is private"
        )


def _is_here(host: str) -> bool:
    """This machine: a socket's directory, `localhost`, or a loopback address."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
