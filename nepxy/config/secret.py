"""A string that does not print."""

from pydantic import SecretStr


class Secret(SecretStr):
    """A secret: `str`, `repr`, `format`, f-strings, `model_dump_json` and log lines show asterisks.

    Pydantic's type hides itself, compares in constant time and is false when empty; it lacks only a format with a
    width (`f"{secret:>20}"`), which raised. `get_secret_value()` gives the text, at the one place that needs it.
    Pickle is not covered: it would write the text, so never pickle settings.
    """

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)
