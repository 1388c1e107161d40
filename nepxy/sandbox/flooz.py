"""Flooz (Moov Africa, Togo and Benin) on profile A; Moov's own protocol is in `moov_soap`."""

import re

from nepxy.sandbox.profile_a import ProfileA
from nepxy.sandbox.world import World

# Moov Togo's ranges 78, 79 and 96 to 99, eight digits; Benin's ten digits since November 2024 (providers page 2.2).
MSISDN = re.compile(r"\+(228(7[89]|9[6-9])[0-9]{6}|22901[0-9]{8})")


def build(world: World) -> ProfileA:
    """Flooz, joined to the world."""
    return ProfileA(world, world.config.flooz, name="flooz", msisdn=MSISDN, currency="XOF")
