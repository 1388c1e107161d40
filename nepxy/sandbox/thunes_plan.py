"""What is to go wrong at which of Thunes' calls next: planned by a test, in order, and used up."""

from collections import deque
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nepxy.sandbox.script import Reply
from nepxy.sandbox.wire import error_response, json_response

PLANNED_MAX = 1000

Step = Literal["payer", "quotation", "transaction", "confirm", "cancel", "read", "balances", "verification"]


class Mishap(BaseModel):
    """One call's fate: whether it is acted upon, and what is answered instead of the truth."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    step: Step
    acts: bool = False
    reply: str = "RESET"
    """A `Reply` by its name, or `RAW`: `status` and `body`."""
    status: Annotated[int, Field(ge=200, le=599)] = 400
    body: Any = None
    """JSON, or a text that is sent as it is."""
    times: Annotated[int, Field(ge=1, le=PLANNED_MAX)] = 1

    def raw(self) -> web.Response:
        """The planned answer itself."""
        text = self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)
        return web.Response(status=self.status, body=text, content_type="application/json")


class Plan:
    """Mishaps to come, oldest first."""

    def __init__(self) -> None:
        self._coming: deque[Mishap] = deque()

    def take(self, step: str) -> Mishap | None:
        """The next one for this step, which is used up by it."""
        for mishap in self._coming:
            if mishap.step == step:
                self._coming.remove(mishap)
                if mishap.times > 1:
                    self._coming.appendleft(mishap.model_copy(update={"times": mishap.times - 1}))
                return mishap
        return None

    def routes(self) -> list[web.RouteDef]:
        """`POST` replaces the plan; `GET` shows what is left of it."""
        path = "/_sandbox/thunes/plan"
        return [web.post(path, self.replace), web.get(path, self.show)]

    async def replace(self, request: web.Request) -> web.StreamResponse:
        """A JSON list of mishaps; an empty one ends all."""
        try:
            coming = TypeAdapter(list[Mishap]).validate_json(await request.read())
        except ValidationError as error:
            return error_response(422, "INVALID_PLAN", "; ".join(e["msg"] for e in error.errors()))
        if len(coming) > PLANNED_MAX or any(
            m.reply != "RAW" and m.reply not in Reply.__members__ for m in coming
        ):
            return error_response(
                422, "INVALID_PLAN", f"reply is RAW or one of {', '.join(Reply.__members__)}"
            )
        self._coming = deque(coming)
        return await self.show(request)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """What is left."""
        return json_response([mishap.model_dump(mode="json") for mishap in self._coming])
