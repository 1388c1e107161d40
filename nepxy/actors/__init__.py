"""Thin shells around the core: they decide through it, journal, perform, and pipe answers back as messages."""
