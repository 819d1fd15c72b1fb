"""A local address that signs: stock gRPC tools on one side, the bus on the other.

Any program of the same machine, in any language, calls the proxy as if it were the provider. The proxy speaks to the
bus with the keys of one subsystem; what it verified of the answer, it passes on.
"""

from bus.proxy.server import ProxyServer

__all__ = ["ProxyServer"]
