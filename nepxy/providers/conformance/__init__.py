"""The conformance suite: what every adapter must hold, whatever its provider does. For pytest; needs Hypothesis.

Subclass `AdapterConformance` in a test module, say in `stage` where the provider's stand-in is and how the adapter is
pointed at it, and pytest runs every test against both, over real HTTP and through a proxy that spoils answers. Each
declared capability is held against what the stand-in's ledger says of the money. docs/adding-a-provider.md has an
example; nothing that serves imports this package.
"""

from nepxy.providers.conformance.stage import Stage, a_payout
from nepxy.providers.conformance.suite import AdapterConformance

__all__ = ["AdapterConformance", "Stage", "a_payout"]
