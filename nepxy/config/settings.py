"""All settings of a NepXy process: read once, frozen, validated whole.

`Settings.from_environ()` is called by the composition root; everything else is given the slice that it needs
(`settings.database`, `settings.providers["TMONEY"]`), never this object.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from nepxy.config import rules
from nepxy.config.catalogue import did_you_mean, docs_of, unknown_names
from nepxy.config.complaints import complaints
from nepxy.config.dev_secrets import ensure_dev_secrets
from nepxy.config.environ import process_environ, read
from nepxy.config.fields import SettingDoc, nested_groups, setting
from nepxy.config.groups import (
    AuthSettings,
    DatabaseSettings,
    EngineSettings,
    Environment,
    HttpSettings,
    LimitSettings,
    LogSettings,
    Mode,
    ReconcileSettings,
    RetrySettings,
    lower,
)
from nepxy.config.plugins import extended, provider_classes
from nepxy.config.providers import (
    PROVIDER_ALIASES,
    PROVIDER_CLASSES,
    FloozSettings,
    MomoSettings,
    ProviderSettings,
    ThunesSettings,
    TmoneySettings,
)
from nepxy.config.routing_rules import RoutingRules, read_routing
from nepxy.errors import ConfigError

_MOMO_SANDBOX_URL = "https://sandbox.momodeveloper.mtn.com"
"""providers.md, section 3.1 [D]. The real host has no default: it is confirmed at go-live [I]."""


def _installed_version() -> str:
    try:
        return version("nepxy")
    except PackageNotFoundError:
        return "0+source"


def _environment(value: object) -> object:
    word = value.lower() if isinstance(value, str) else value
    return "prod" if word == "production" else word


def _provider_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = [name for name in (part.strip().upper() for part in value.split(",")) if name]
    return tuple(dict.fromkeys(PROVIDER_ALIASES.get(name, name) for name in names))


class Settings(BaseSettings):
    """Every setting, in groups by concern."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    env: Annotated[Environment, BeforeValidator(_environment)] = setting(
        Environment.DEV, "ENV", "ENVIRONMENT", description="Where this runs; production means prod."
    )
    data_dir: Path = setting(
        Path(".nepxy"), "NEPXY_DATA_DIR",
        description="Where development keeps its secrets and its embedded PostgreSQL.",
    )  # fmt: skip
    app_version: str = setting(
        _installed_version(), "APP_VERSION", default_text="the package's version",
        description="The version that /healthz shows.",
    )  # fmt: skip
    git_sha: str = setting("", "GIT_SHA", description="The commit that /healthz shows.")
    mode: Annotated[Mode, BeforeValidator(lower)] = setting(
        Mode.SANDBOX, "MM_MODE", description="Picks the providers' SANDBOX or REAL variables."
    )
    # One from another package is on the list only by its name: installing a package opens no way for money.
    enabled_providers: Annotated[tuple[str, ...], BeforeValidator(_provider_list)] = setting(
        tuple(PROVIDER_CLASSES), "MM_ENABLED_PROVIDERS",
        description="Providers that take new payouts, comma-separated; MTN_MOMO is MOMO.",
    )  # fmt: skip
    strict_startup: bool = setting(
        False, "MM_STRICT_STARTUP_VALIDATION",
        description="Refuse the start outside production, too, when a provider's credentials are missing.",
    )  # fmt: skip

    routing_file: str = setting(
        "", "NEPXY_ROUTING_FILE", default_text="none: a number's own network decides",
        description="A TOML file of rules by which payouts without a provider are given to one; see docs/routing.md.",
    )  # fmt: skip

    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    retry: RetrySettings = Field(default_factory=RetrySettings)
    """What a provider starts from; actors take `settings.providers[name].retry`, where its own numbers are in."""
    limits: LimitSettings = Field(default_factory=LimitSettings)
    reconcile: ReconcileSettings = Field(default_factory=ReconcileSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tmoney: TmoneySettings = Field(default_factory=TmoneySettings)
    flooz: FloozSettings = Field(default_factory=FloozSettings)
    momo: MomoSettings = Field(default_factory=MomoSettings)
    thunes: ThunesSettings = Field(default_factory=ThunesSettings)

    routing: RoutingRules = RoutingRules()
    """What `routing_file` says."""
    warnings: tuple[str, ...] = ()
    """What deserves a second look, one line each; the composition root logs them."""

    @field_validator("enabled_providers")
    @classmethod
    def _are_installed(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        installed = [group.name for _, group in _provider_groups(cls)]
        wrong = [
            f"{name!r}{did_you_mean(name, (*installed, *PROVIDER_ALIASES))}"
            for name in names
            if name not in installed
        ]
        if wrong:
            raise ValueError(f"names no provider: {', '.join(wrong)}; set some of {','.join(installed)}")
        return names

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `from_environ` hands over: the library's own sources know neither modes nor `*_FILE`."""
        return (init_settings,)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings that these variables make.

        Args:
            environ: the variables; None is the process's own, over those of `.env` in the working directory.

        Raises:
            ConfigError: lists every problem there is, one line each: `NAME: what is wrong; what to do`.
        """
        given = process_environ() if environ is None else environ
        model = cls._with_plugins()
        reading = read(model, given, mode=_mode_of(given))
        refused: Mapping[tuple[str, ...], str] = {}
        try:
            settings = model(**_completed(model, reading.tree))
        except ValidationError as invalid:
            refused = complaints(model, invalid, reading.origin)
            settings = model(**_completed(model, _without(reading.tree, refused)))
        # A variable that all providers share is refused once for each of them.
        lines = list(dict.fromkeys([*reading.problems, *refused.values()]))
        mentioned = {line.partition(":")[0].removesuffix("_FILE") for line in lines}
        routing, wrong_rules = read_routing(settings.routing_file, settings.providers)
        problems = [*lines, *rules.problems(settings, mentioned), *wrong_rules]
        if problems:
            raise ConfigError(problems)
        warnings = (*unknown_names(model, given), *rules.warnings(settings))
        return settings.model_copy(
            update={"warnings": warnings, "thunes": _tamed(settings), "routing": routing}
        )

    @property
    def providers(self) -> Mapping[str, ProviderSettings]:
        """All that are installed, enabled or not (payouts in flight of a disabled one are still followed), by name."""
        groups = _provider_groups(type(self))
        return MappingProxyType({group.name: getattr(self, field) for field, group in groups})

    @classmethod
    def _with_plugins(cls) -> type[Self]:
        """This model, with the settings of providers that other packages bring."""
        classes = provider_classes(reserved=cls.model_fields)
        others = tuple(one for name, one in classes.items() if name.lower() not in cls.model_fields)
        return cast("type[Self]", extended(cls, others)) if others else cls

    def with_dev_secrets(self) -> Self:
        """In development, the same with a kept JWT secret where none is set; elsewhere unchanged.

        Raises:
            ConfigError: the data directory cannot be written.
        """
        if self.env is not Environment.DEV or self.auth.jwt_secret:
            return self
        auth = self.auth.model_copy(update={"jwt_secret": ensure_dev_secrets(self.data_dir)})
        return self.model_copy(update={"auth": auth})


def settings_fields() -> list[SettingDoc]:
    """Every variable with its meaning, for the documentation and `.env.example`."""
    return docs_of(Settings)


@lru_cache(maxsize=8)
def _provider_groups(model: type[BaseModel]) -> tuple[tuple[str, type[ProviderSettings]], ...]:
    groups = nested_groups(model)
    return tuple((name, group) for name, group in groups if issubclass(group, ProviderSettings))


def _completed(model: type[Settings], read_tree: Mapping[str, Any]) -> dict[str, Any]:
    """What was read, with the defaults and facts that depend on the environment, the mode and the list."""
    tree = deepcopy(dict(read_tree))
    top = _top(model, tree)
    if top.env is not Environment.DEV:
        tree["http"].setdefault("host", "0.0.0.0")  # noqa: S104 - a container is reached from outside only so
    if top.env is Environment.PROD:
        tree["engine"].setdefault("second_person", True)
    if top.mode is Mode.SANDBOX:
        tree["momo"].setdefault("base_url", _MOMO_SANDBOX_URL)
    for name, group in _provider_groups(model):
        tree[name] |= {"mode": top.mode, "listed": group.name in top.enabled_providers}
    return tree


def _top(model: type[Settings], tree: Mapping[str, Any]) -> Settings:
    """The fields that are in no group; a wrong one is left out here and refused with the rest."""
    scalars = {name: value for name, value in tree.items() if not isinstance(value, dict)}
    try:
        return model(**scalars)
    except ValidationError as invalid:
        wrong = {error["loc"][0] for error in invalid.errors()}
        return model(**{name: value for name, value in scalars.items() if name not in wrong})


def _without(tree: Mapping[str, Any], paths: Collection[tuple[str, ...]]) -> dict[str, Any]:
    """The tree without what was refused, so that the rules between settings can speak in the same breath."""
    kept = deepcopy(dict(tree))
    for path in paths:
        parent = kept
        for part in path[:-1]:
            parent = parent[part]
        parent.pop(path[-1], None)
    if ("enabled_providers",) in paths or ("mode",) in paths:
        kept["enabled_providers"] = ()  # nobody knows yet which variables must be there: complain about none
    return kept


def _tamed(settings: Settings) -> ThunesSettings:
    """What Thunes's sandbox may do and the real thing may not, whatever the variables say; a warning tells."""
    thunes = settings.thunes
    unsigned = thunes.allow_unsigned_webhooks and settings.env is not Environment.PROD
    simulation = thunes.use_simulation and settings.mode is Mode.SANDBOX
    return thunes.model_copy(update={"allow_unsigned_webhooks": unsigned, "use_simulation": simulation})


def _mode_of(environ: Mapping[str, str]) -> Mode:
    """The mode, before it is known whether it is valid: it decides which variables are read at all."""
    return Mode.REAL if environ.get("MM_MODE", "").strip().lower() == Mode.REAL else Mode.SANDBOX
