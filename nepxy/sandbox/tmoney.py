"""TMoney (Togocom, Togo) on profile A; the operator publishes nothing of its own [U]."""

import re

from nepxy.sandbox.profile_a import ProfileA
from nepxy.sandbox.world import World

# Togocom's ranges 70 to 73 and 90 to 93, eight digits (providers page 2.2).
MSISDN = re.compile(r"\+228(7[0-3]|9[0-3])[0-9]{6}")


def build(world: World) -> ProfileA:
    """TMoney, joined to the world."""
    return ProfileA(world, world.config.tmoney, name="tmoney", msisdn=MSISDN, currency="XOF")
