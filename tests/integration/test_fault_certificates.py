"""Certificates end while calls run: under a long stream; and again and again, by renewal, with nothing noticed."""

import os
import shutil
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.registry.service_run import REGISTRY_PATH, RegistryServices  # isort: skip - before gRPC

import pytest
import yaml

from bus.exchange import CallError
from bus.exchange.config import ClientConfig, load_client_config
from bus.exchange.errors import RefusedLocally
from bus.exchange.reasons import Reason
from bus.exchange.rotation import next_key_path
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from pki.authority import Authority, IssuedCertificate
from pki.files import write_atomic
from pki.identity import SubsystemId
from pki.profiles import MAX_TLS_VALIDITY
from pki.signer import FileSigner
from tests.integration.live import Live, running_live
from tests.support.live import BROKER, BYSTANDER, CALLER, UNITS, VISITOR, home_of, wait_until
from tests.support.live_load import Load
from tests.support.registered import now_ms


def now() -> datetime:
    return datetime.now(UTC)


def without_renewal(home: Path) -> ClientConfig:
    found = load_client_config(home / "config.yaml")
    return replace(found, identity=replace(found.identity, renewal=None))


def test_certificate_ending_under_a_stream_admits_nothing_new_and_the_next_policy_ends_the_stream(
    live: Live, tmp_path: Path
) -> None:
    home = tmp_path / "visitor"
    shutil.copytree(home_of(live.layout, VISITOR), home, symlinks=True)
    live.certify(VISITOR, home, timedelta(seconds=6))
    ends = time.monotonic() + 6
    visitor = Load(without_renewal(home), workers=0)
    with live.load(workers=1) as load, visitor:
        visitor.call("before")
        stream = visitor.stream()
        next(stream)
        while time.monotonic() < ends + 1:
            next(stream)
        with pytest.raises(CallError) as refused:
            visitor.call("after", timeout=5)
        assert refused.value.reason is Reason.CERTIFICATE_EXPIRED
        next(stream)  # what was admitted goes on, and the policy that judged it still holds
        live.put_in_force(SubsystemSuspended(BYSTANDER))
        with pytest.raises(RefusedLocally) as ended:
            for _ in stream:
                pass
        assert ended.value.reason is Reason.STREAM_NOT_SEALED
        live.put_in_force(SubsystemResumed(BYSTANDER))
        load.goes_on()
    assert load.failed == []


LIFETIME = timedelta(seconds=36)
"""With a minute's backdating, two thirds of its life are over four seconds after it was issued."""
MEMBERS = (CALLER, VISITOR, UNITS)
KEY = "signing-key.pem"


class Hasty(Authority):
    """Gives members certificates that are soon due."""

    def issue_tls(
        self, spki: bytes, subsystem: SubsystemId, *, now: datetime, lifetime: timedelta = MAX_TLS_VALIDITY
    ) -> IssuedCertificate:
        return super().issue_tls(spki, subsystem, now=now, lifetime=LIFETIME if subsystem.path in MEMBERS else lifetime)


def issue_hastily(live: Live) -> None:
    """From now on the instance renews for so short a time."""
    assert live.parts.services is not None
    live.parts.services.stop()
    layout, domain = live.layout, live.running.facts.trust_domain
    point = FileSigner.load(layout.policy_signing_key).public_point
    live.parts.services = RegistryServices(
        layout.state,
        live.running.registry,
        lambda: Hasty.open(layout.state, domain, now=now()),
        point,
        now_ms,
        path=REGISTRY_PATH,
    )
    live.parts.services.start()


class Rotations:
    """Counts what took another's place in the homes of members and of the broker, between `with` and its end."""

    def __init__(self, live: Live) -> None:
        homes = [home_of(live.layout, path) for path in MEMBERS]
        self._links = [*(home / "tls" for home in homes), live.broker.home / "tls"]
        self._keys = [home / KEY for home in homes]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rotations")
        self.certificates: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()

    def __enter__(self) -> "Rotations":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def total(self) -> int:
        """Of both."""
        return self.certificates.total() + self.keys.total()

    def said(self) -> str:
        """For people."""
        return f"{self.total()} rotations, certificates {dict(self.certificates)}, keys {dict(self.keys)}"

    def _watch(self) -> None:
        links = [os.readlink(link) for link in self._links]
        keys = [key.stat().st_ino for key in self._keys]
        while not self._stop.wait(0.05):
            for at, link in enumerate(self._links):
                if (found := os.readlink(link)) != links[at]:
                    links[at] = found
                    self.certificates[link.parent.name] += 1
            for at, key in enumerate(self._keys):
                if (inode := key.stat().st_ino) != keys[at]:
                    keys[at] = inode
                    self.keys[key.parent.name] += 1


class Streams:
    """One stream after the other, each to its sealed end, between `with` and its end."""

    def __init__(self, load: Load) -> None:
        self._load, self._stop = load, threading.Event()
        self._thread = threading.Thread(target=self._work, name="streams")
        self.sealed, self.failed = 0, list[CallError]()

    def __enter__(self) -> "Streams":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                for _ in self._load.stream("05"):
                    pass
            except CallError as error:
                self.failed.append(error)
            else:
                self.sealed += 1


def settle_soon(live: Live) -> None:
    """A new signing key is used sooner than clocks may differ elsewhere: here there is one clock."""
    for path in MEMBERS:
        file = home_of(live.layout, path) / "config.yaml"
        content = yaml.safe_load(file.read_text())
        content["renewal"]["settle_ms"] = 2_000
        write_atomic(file, yaml.safe_dump(content).encode())
    live.provider.end()
    live.provider.start()


def rotate_under_load(live: Live, wanted: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Until so many certificates and keys were replaced, of the broker and of all members."""
    settle_soon(live)
    issue_hastily(live)
    homes = {path: home_of(live.layout, path) for path in MEMBERS}
    visitor = Load(load_client_config(homes[VISITOR] / "config.yaml"), workers=3)
    with live.load(workers=3) as caller, visitor, Streams(caller) as streams, Rotations(live) as rotations:
        for path, home in homes.items():
            live.certify(path, home, LIFETIME)
            FileSigner.load_or_create(next_key_path(home / KEY))  # begun: the runtime of that home does the rest
        end = time.monotonic() + 60 + 15 * wanted
        while rotations.total() < wanted or len(rotations.keys) < len(MEMBERS):
            assert time.monotonic() < end, rotations.said()
            live.certify(BROKER, live.broker.home, timedelta(seconds=25))  # and the supervisor renews it
            caller.goes_on()
            visitor.goes_on()
            time.sleep(3)
        wait_until(lambda: streams.sealed)
    with capsys.disabled():
        print(f"\n{rotations.said()}: {caller.said()}; {visitor.said()}; {streams.sealed} streams sealed")
    assert (caller.failed, visitor.failed, streams.failed) == ([], [], [])
    caller.judge_effects(live.provider)
    visitor.judge_effects(live.provider)


@pytest.mark.soak
def test_hundred_rotations_under_load_fail_no_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_live(tmp_path) as live:
        rotate_under_load(live, 100, capsys)
