"""Contracts are registered with what explains them, and declare exactly what the generated modules do."""

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from govbus.registry.v1 import directory_pb2
from vn.population.v1 import population_pb2

from bus.edge.contract_comments import add_comments
from bus.edge.nation import contract_image

CONTRACTS = (population_pb2.DESCRIPTOR, directory_pb2.DESCRIPTOR)


def test_comments_come_along_and_nothing_else() -> None:
    bare, told = (FileDescriptorSet.FromString(contract_image(CONTRACTS, comments=one)).file for one in (False, True))
    for before, after in zip(bare, told, strict=True):
        ours = not before.name.startswith(("google/", "buf/"))
        said = [one.leading_comments for one in after.source_code_info.location if one.leading_comments]
        assert bool(said) == ours, before.name
        after.ClearField("source_code_info")
        assert after == before
    again = contract_image(CONTRACTS, comments=True)
    assert again == contract_image(CONTRACTS, comments=True)
    assert len(again) < 200_000  # the directory hands it out in one message


def test_comments_of_another_version_of_the_source_are_left_out() -> None:
    file = FileDescriptorProto()
    population_pb2.DESCRIPTOR.CopyToProto(file)
    file.message_type[0].field[0].name = "renamed"
    stranger = FileDescriptorProto(name="nowhere/v1/nothing.proto")
    add_comments([file, stranger])
    assert not file.HasField("source_code_info")
    assert not stranger.HasField("source_code_info")
