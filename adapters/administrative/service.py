"""AdministrativeUnitService over the unit tables in its database.

Nothing here decides anything: it turns rows into messages. Which list is current is the table's knowledge; to ask back
about a split is the caller's duty, made visible by `split`.
"""

from __future__ import annotations

from adapters.refusals import Refusal, refuse  # isort: skip - before gRPC

from collections.abc import AsyncIterator
from typing import Any

import grpc
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceServicer
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode

from adapters.administrative.store import BY_CODE, KNOWN, LISTED, RESOLVED
from adapters.administrative.table import CURRENT_LIST, Level
from adapters.source import Row
from adapters.sql import SqlStore, Statement

__all__ = ["UNITS_PER_MESSAGE", "AdministrativeUnits"]

UNITS_PER_MESSAGE = 256  # the limit that the contract states

UNIT_UNKNOWN = Refusal(
    grpc.StatusCode.NOT_FOUND,
    "UNIT_UNKNOWN",
    "this code list is not served or does not have the code; check the list that the code was copied from",
)

_LEVELS = {
    Level.PROVINCE: pb.UNIT_LEVEL_PROVINCE,
    Level.DISTRICT: pb.UNIT_LEVEL_DISTRICT,
    Level.WARD: pb.UNIT_LEVEL_WARD,
}
_ROW_LEVELS = {message: level for level, message in _LEVELS.items()}

_Context = grpc.aio.ServicerContext[Any, Any]


class AdministrativeUnits(AdministrativeUnitServiceServicer):
    """The servicer."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def GetUnit(self, request: pb.GetUnitRequest, context: _Context) -> pb.GetUnitResponse:
        return pb.GetUnitResponse(unit=_message(await self._row(BY_CODE, request.code, context)))

    async def ResolveUnit(self, request: pb.ResolveUnitRequest, context: _Context) -> pb.ResolveUnitResponse:
        row = await self._row(RESOLVED, request.code, context)
        successors = [row] if row["code_list"] == CURRENT_LIST else row["successors"]
        return pb.ResolveUnitResponse(
            unit=_message(row),
            successors=map(_message, successors),
            split=len(successors) > 1,
            predecessors=map(_message, row["predecessors"]),
        )

    async def ListUnits(self, request: pb.ListUnitsRequest, context: _Context) -> AsyncIterator[pb.ListUnitsResponse]:
        asked = {"code_list": request.code_list_version, "within": request.within_code}
        known = await self._store.fetch_one(context, KNOWN, asked)
        if known is None or not known["known"]:
            await refuse(context, UNIT_UNKNOWN)
        asked_of_level = asked | {"level": int(_ROW_LEVELS.get(request.level, 0))}
        token, ended = "", False
        while not ended:
            page = await self._store.fetch_page(context, LISTED, asked_of_level, UNITS_PER_MESSAGE, token)
            token, ended = page.next_token, not page.next_token
            if page.rows:
                yield pb.ListUnitsResponse(units=map(_message, page.rows))

    async def _row(self, question: Statement, code: AdministrativeUnitCode, context: _Context) -> Row:
        asked = {"code_list": code.code_list_version, "code": code.code}
        return await self._store.fetch_one(context, question, asked) or await refuse(context, UNIT_UNKNOWN)


def _message(row: Row) -> pb.AdministrativeUnit:
    """The message for one row."""
    return pb.AdministrativeUnit(
        code=AdministrativeUnitCode(code_list_version=row["code_list"], code=row["code"]),
        name=row["name"],
        level=_LEVELS[Level(len(row["code"]))],
        parent_code=row["parent_code"],
        province_code=row["province_code"],
    )
