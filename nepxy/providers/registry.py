"""Which providers there are, ours and those that other packages bring, and the adapters made from the settings.

A provider is a `ProviderPlugin`, found by the entry points of the group `nepxy.providers`. Ours are offered the same
way (setup.cfg) and are known without it, so that an installation older than its code still has them.
docs/adding-a-provider.md makes one from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from nepxy.config.plugins import provider_classes
from nepxy.config.providers import PROVIDER_CLASSES, ProviderSettings
from nepxy.errors import ConfigError
from nepxy.providers.contract import Adapter
from nepxy.providers.momo import build_momo
from nepxy.providers.thunes import build_thunes
from nepxy.providers.wallets import build_wallet

GROUP: Final = "nepxy.providers"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPlugin:
    """A provider: what is set for it, and how an adapter is made of that."""

    settings: type[ProviderSettings]
    """Offered in the group `nepxy.provider_settings`, too; also says where the provider can pay."""
    build: Callable[[Any], Adapter]
    """Makes the adapter of complete settings of that class. No I/O: sessions open at their first call."""

    @property
    def name(self) -> str:
        """The provider's canonical name."""
        return self.settings.name


FACTORIES: Final[Mapping[str, Callable[[Any], Adapter]]] = {
    "TMONEY": build_wallet,
    "FLOOZ": build_wallet,
    "MOMO": build_momo,
    "THUNES": build_thunes,
}

TMONEY: Final = ProviderPlugin(settings=PROVIDER_CLASSES["TMONEY"], build=build_wallet)
FLOOZ: Final = ProviderPlugin(settings=PROVIDER_CLASSES["FLOOZ"], build=build_wallet)
MOMO: Final = ProviderPlugin(settings=PROVIDER_CLASSES["MOMO"], build=build_momo)
THUNES: Final = ProviderPlugin(settings=PROVIDER_CLASSES["THUNES"], build=build_thunes)


def plugins() -> Mapping[str, ProviderPlugin]:
    """Every provider that is installed, by canonical name.

    Raises:
        ConfigError: what a package offers cannot be used; one line for each.
    """
    return plugins_of(entry_points(group=GROUP), provider_classes())


def plugins_of(
    offered: Iterable[EntryPoint], classes: Mapping[str, type[ProviderSettings]]
) -> Mapping[str, ProviderPlugin]:
    """Ours, and those that are offered.

    Args:
        offered: the entry points.
        classes: the settings class of each provider that can be set up.

    Raises:
        ConfigError: one cannot be loaded, is no plugin, or is not the provider of its settings.
    """
    found = {
        name: ProviderPlugin(settings=PROVIDER_CLASSES[name], build=FACTORIES[name]) for name in FACTORIES
    }
    problems = []
    for point in sorted(offered, key=lambda point: (point.name, point.value)):
        if point.name in PROVIDER_CLASSES and point.module.partition(".")[0] == "nepxy":
            continue  # ours: the code is newer than what an installation wrote down of it
        plugin = _loaded(point)
        if isinstance(plugin, ProviderPlugin):
            problem = _problem(point, plugin, classes, found)
            found.setdefault(plugin.name, plugin)
        else:
            problem = plugin
        if problem is not None:
            problems.append(f"entry point {point.name} = {point.value} ({GROUP}): {problem}")
    if problems:
        raise ConfigError(problems)
    return found


def build_adapters(providers: Mapping[str, ProviderSettings]) -> dict[str, Adapter]:
    """An adapter for each provider that has one and whose credentials are complete; enabled or not (money rule 10).

    Raises:
        ConfigError: what a package offers cannot be used.
    """
    installed = plugins()
    return {
        name: installed[name].build(settings)
        for name, settings in providers.items()
        if name in installed and not settings.ready_problems
    }


def _loaded(point: EntryPoint) -> ProviderPlugin | str:
    try:
        plugin = point.load()
    except Exception as error:
        # Whatever another package's import does; the start is refused, and names it.
        return f"cannot be loaded ({type(error).__name__}: {error}); mend the package, or uninstall it"
    if not isinstance(plugin, ProviderPlugin):
        return "is no nepxy.providers.registry.ProviderPlugin; offer one"
    return plugin


def _problem(
    point: EntryPoint,
    plugin: ProviderPlugin,
    classes: Mapping[str, type[ProviderSettings]],
    found: Mapping[str, ProviderPlugin],
) -> str | None:
    if point.name != plugin.name:
        return f"offers {plugin.name}; call the entry point {plugin.name}"
    if plugin.name in found and found[plugin.name] != plugin:
        return f"{plugin.name} is there already; two packages cannot bring the same provider"
    if plugin.name not in classes:
        return (
            f"its settings cannot be read; offer {plugin.settings.__name__} in nepxy.provider_settings, too"
        )
    if classes[plugin.name] is not plugin.settings:
        return f"{plugin.settings.__name__} is not the class that nepxy.provider_settings offers for {plugin.name}"
    return None
