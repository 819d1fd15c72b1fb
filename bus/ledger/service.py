"""LedgerService over a ledger's directory: a stock servicer, served as a subsystem by bus.exchange.serve.

    server = serve(load_provider_config("ledger.yaml"), [(add_LedgerServiceServicer_to_server, LedgerServicer(reader))])

It needs only read access, so it may run apart from the sequencer. Files are read on threads, the event loop stays free.
"""

import asyncio
from typing import Any, Final

import bus.exchange  # isort: skip - before gRPC, see bus.exchange.tls

import grpc
from govbus.ledger.v1 import ledger_pb2 as pb
from govbus.ledger.v1.ledger_pb2_grpc import LedgerServiceServicer

from bus.ledger.reader import EntryUnknown, LedgerReader, SizeUnknown

__all__ = ["LedgerServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]

ENTRY_UNKNOWN: Final = bus.exchange.fixed_text(
    "ENTRY_UNKNOWN: the ledger has no such entry yet; ask again after the receipt's merge deadline"
)
SIZE_UNKNOWN: Final = bus.exchange.fixed_text(
    "SIZE_UNKNOWN: sizes are at least 1, at most the newest checkpoint's, and in order; if you hold a signed checkpoint"
    " of that size, keep it and tell the operator"
)


class LedgerServicer(LedgerServiceServicer):
    """The servicer."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: _Context) -> pb.GetCheckpointResponse:
        found = await asyncio.to_thread(self._reader.checkpoint)
        return pb.GetCheckpointResponse(checkpoint=found.note)

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: _Context
    ) -> pb.GetInclusionProofResponse:
        try:
            proof = await asyncio.to_thread(self._reader.prove_entry, request.entry)
        except EntryUnknown:
            await context.abort(grpc.StatusCode.NOT_FOUND, ENTRY_UNKNOWN)
        return pb.GetInclusionProofResponse(index=proof.index, path=proof.path, checkpoint=proof.checkpoint)

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: _Context
    ) -> pb.GetConsistencyProofResponse:
        try:
            path, newest = await asyncio.to_thread(
                self._reader.prove_consistency, request.first_size, request.second_size
            )
        except SizeUnknown:
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, SIZE_UNKNOWN)
        return pb.GetConsistencyProofResponse(path=path, checkpoint=newest.note)
