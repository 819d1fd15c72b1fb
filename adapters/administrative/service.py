"""AdministrativeUnitService over the tables in memory.

Nothing here decides anything: it turns table rows into messages. Which list is
current is the table's knowledge; to ask back about a split is the caller's
duty, made visible by `split`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import grpc
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceServicer
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode

from adapters.administrative.table import Level, Unit, UnitTable, UnknownUnit
from adapters.refusals import Refusal, refuse

__all__ = ["UNITS_PER_MESSAGE", "AdministrativeUnits", "unit_message"]

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
_TABLE_LEVELS = {message: level for level, message in _LEVELS.items()}

_Context = grpc.aio.ServicerContext[Any, Any]


def unit_message(unit: Unit) -> pb.AdministrativeUnit:
    """The message for one table row."""
    return pb.AdministrativeUnit(
        code=AdministrativeUnitCode(code_list_version=unit.code_list, code=unit.code),
        name=unit.name,
        level=_LEVELS[unit.level],
        parent_code=unit.parent_code,
        province_code=unit.province_code,
    )


class AdministrativeUnits(AdministrativeUnitServiceServicer):
    """The servicer; one table, shared by all calls."""

    def __init__(self, table: UnitTable) -> None:
        self._table = table

    async def GetUnit(self, request: pb.GetUnitRequest, context: _Context) -> pb.GetUnitResponse:
        unit = await self._unit(request.code, context)
        return pb.GetUnitResponse(unit=unit_message(unit))

    async def ResolveUnit(self, request: pb.ResolveUnitRequest, context: _Context) -> pb.ResolveUnitResponse:
        unit = await self._unit(request.code, context)
        successors = self._table.successors(unit)
        return pb.ResolveUnitResponse(
            unit=unit_message(unit),
            successors=map(unit_message, successors),
            split=len(successors) > 1,
            predecessors=map(unit_message, self._table.predecessors(unit)),
        )

    async def ListUnits(self, request: pb.ListUnitsRequest, context: _Context) -> AsyncIterator[pb.ListUnitsResponse]:
        level = _TABLE_LEVELS.get(request.level)
        try:
            units = self._table.units(request.code_list_version, level, request.within_code)
        except UnknownUnit:
            await refuse(context, UNIT_UNKNOWN)
        while chunk := [unit_message(unit) for unit in islice(units, UNITS_PER_MESSAGE)]:
            yield pb.ListUnitsResponse(units=chunk)

    async def _unit(self, code: AdministrativeUnitCode, context: _Context) -> Unit:
        try:
            return self._table.unit(code.code_list_version, code.code)
        except UnknownUnit:
            await refuse(context, UNIT_UNKNOWN)
