"""Real contracts registered from their descriptors."""

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from vn.administrative.v1 import administrative_pb2
from vn.population.v1 import population_pb2

from bus.edge.nation import contract_image
from bus.registry.contracts import contract_changes
from bus.registry.members import InstanceFounded
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.services import ServiceRegistered, ServiceRevised
from tests.bus.registry.support import Log

IMAGE = contract_image([population_pb2.DESCRIPTOR])
BOTH = contract_image([population_pb2.DESCRIPTOR, administrative_pb2.DESCRIPTOR])


def test_image_is_registered_once_and_revised_when_it_changes() -> None:
    log = Log([InstanceFounded("bus.gov.example")])
    changes, files = contract_changes(log.state, IMAGE)
    assert [type(change) for change in changes] == [ServiceRegistered]
    assert list(files.values()) == [IMAGE]
    log.record(*changes)
    assert "/vn.population.v1.PopulationService/GetPerson" in log.state.methods
    assert contract_changes(log.state, IMAGE) == ([], {})
    changes, _ = contract_changes(log.state, BOTH)
    assert {type(change) for change in changes} == {ServiceRegistered, ServiceRevised}
    log.record(*changes)
    assert len(log.state.services) == 2


@pytest.mark.parametrize("image", [b"not a descriptor", FileDescriptorSet().SerializeToString()])
def test_image_without_a_service_is_refused(image: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        contract_changes(Log([InstanceFounded("bus.gov.example")]).state, image)
    assert refused.value.reason is RefusalReason.MALFORMED
