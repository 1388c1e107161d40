"""JSON answers and refusals, the same for every provider that speaks JSON."""

import orjson
from aiohttp import web


class Refused(Exception):
    """The request gets this answer and nothing was done."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """The answer as JSON: `error` for machines, `message` for people."""
        return error_response(self.status, self.code, self.message)


def json_response(body: object, *, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def error_response(status: int, code: str, message: str) -> web.Response:
    """A JSON error in profile A's shape."""
    return json_response({"error": code, "message": message}, status=status)
