"""host:port, exactly (bus.edge.endpoint)."""

import pytest

from bus.edge.endpoint import Endpoint, EndpointError, parse_endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("population.mps.gov.example:443", "population.mps.gov.example", 443),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host, port)
    assert str(parse_endpoint(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0.1", ":80", "host:0", "host:65536", "host:+1", "host:\u0661", "[::1:80", "[x]:1", "a b:1", "A:1"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(EndpointError):
        parse_endpoint(text)
