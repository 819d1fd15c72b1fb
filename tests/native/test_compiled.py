"""The compiled half is the compiled one, and its table of reasons is the contract's."""

from importlib.machinery import EXTENSION_SUFFIXES

from govbus.errors.v1 import reasons_pb2

from native import _fast, batch, codec, digest, ecdsa, merkle
from native.errors import CODEC_FAULTS, FRAME_TEXTS


def test_production_names_come_from_the_extension() -> None:
    assert _fast.__file__ is not None
    assert _fast.__file__.endswith(tuple(EXTENSION_SUFFIXES))
    for function in (codec.decode_request_header, digest.leaf_hash, merkle.root, batch.verify_batch, ecdsa.verify_many):
        assert function.__module__ == "native._fast"


def test_the_gates_table_of_reasons_is_the_contract() -> None:
    for value in reasons_pb2.Reason.DESCRIPTOR.values:
        row = _fast.reason_row(value.number)
        if value.number == 0:
            assert row == (2, 0, "", "")
            continue
        info = value.GetOptions().Extensions[reasons_pb2.reason_info]
        assert row == (info.grpc_code, info.provider_called, value.name.removeprefix("REASON_"), info.when)


def test_a_number_that_no_reason_has_is_unknown() -> None:
    declared = {value.number for value in reasons_pb2.Reason.DESCRIPTOR.values}
    for number in {*range(300), 2**32 - 1} - declared:
        assert _fast.reason_row(number) == (2, 0, "", "")


def test_every_refusal_of_this_layer_is_a_declared_reason() -> None:
    declared = {value.name.removeprefix("REASON_") for value in reasons_pb2.Reason.DESCRIPTOR.values}
    named = {reason for reason, _ in CODEC_FAULTS.values()} | set(FRAME_TEXTS)
    assert named | {"SIGNATURE_INVALID", "BATCH_PATH_INVALID"} <= declared
