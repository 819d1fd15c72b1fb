"""Runs benchmarks.python_forwarder as a process of its own, from a broker's directory.

    python -m benchmarks.forwarder_process BROKER-DIRECTORY HOST:PORT JOURNAL-FILE [--compiled]

Signatures, hashes and trees are plain Python (benchmarks.plain_python), or govbus's own with --compiled. Prints "ready"
when it listens and ends with its standard input.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.plain_python import use_plain_python

if "--compiled" not in sys.argv:
    use_plain_python()

from benchmarks.python_forwarder import BrokerSetup, PythonBroker
from bus.edge.broker_file import load_broker_config
from bus.edge.snapshot_files import parse_endpoints
from bus.exchange.config import TlsFiles
from bus.exchange.trust import SnapshotFile, load_policy_key
from native.snapshot import BROKER_SCOPE
from pki.credentials import load_credentials


async def _serve(home: Path, listen: str, journal: Path) -> None:
    config = load_broker_config(home)
    identity = config.identity
    policy = SnapshotFile(
        config.snapshot, load_policy_key(home / "policy-key.pem"), identity.trust_domain, BROKER_SCOPE
    )
    policy.load()
    endpoints = parse_endpoints(config.endpoints.read_bytes())
    broker = PythonBroker(
        BrokerSetup(
            spiffe_id=identity.spiffe_id,
            listen=listen,
            tls=TlsFiles(home / "tls" / "chain.pem", home / "tls" / "key.pem", home / "trust.pem"),
            signer=load_credentials(home, identity.trust_domain, now=datetime.now(UTC)).signer,
            policy=policy,
            providers={provider: str(addresses[0]) for provider, addresses in endpoints.items()},
            journal=journal,
        )
    )
    await broker.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
