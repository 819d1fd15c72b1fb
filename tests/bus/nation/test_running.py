"""A member that lay still for longer than its certificate lives enrols anew; a half-made home is no enrolled one."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.nation.behind import Apart, Reach
from bus.nation.members import PROGRAMS
from bus.nation.running import MemberPart, keep_enrolled
from pki.authority import Authority
from pki.credentials import issue_credentials
from pki.identity import SubsystemId

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def enrolled(folder: Path) -> Path:
    folder.chmod(0o700)
    home = folder / "subsystems" / "gov.mps.population"
    home.mkdir(mode=0o700, parents=True)
    home.parent.chmod(0o700)
    authority = Authority.open(folder, "bus.test.example", now=NOW)
    issue_credentials(authority, SubsystemId("bus.test.example", "gov", "mps", "population"), home, now=NOW)
    (home / "config.yaml").touch()
    return home


def test_certificate_that_lasts_is_kept_and_one_that_ended_is_let_go_of(tmp_path: Path) -> None:
    home = enrolled(tmp_path)
    assert keep_enrolled(home, NOW + timedelta(hours=22))
    assert (home / "tls" / "chain.pem").exists()
    assert not keep_enrolled(home, NOW + timedelta(hours=23, minutes=30))
    assert not (home / "tls").exists()
    assert (home / "signing-key.pem").exists()  # enrolment puts it aside, and says so
    assert not keep_enrolled(home, NOW)


def test_home_that_was_half_made_enrols(tmp_path: Path) -> None:
    home = enrolled(tmp_path)
    (home / "config.yaml").unlink()
    assert not keep_enrolled(home, NOW)
    (home / "config.yaml").touch()
    assert not keep_enrolled(home, NOW)
    assert not keep_enrolled(tmp_path / "nowhere", NOW)


def test_supervisor_neither_waits_nor_swells_by_what_a_member_put_into_its_home(tmp_path: Path) -> None:
    chain = tmp_path / "tls" / "chain.pem"
    chain.parent.mkdir()
    os.mkfifo(chain)
    assert not keep_enrolled(tmp_path, NOW)
    chain.unlink()
    chain.symlink_to("/dev/zero")
    assert not keep_enrolled(tmp_path, NOW)
    chain.unlink()
    chain.symlink_to(chain.name)
    assert not keep_enrolled(tmp_path, NOW)


def test_member_says_nothing_to_the_operators_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    member = MemberPart(
        *(PROGRAMS[0], tmp_path, log),
        people=10,
        variables={},
        token=str,
        provide=lambda _, home: home / "database",
        sockets=tuple,
        reach=lambda path, token: Reach(),
        apart=Apart.LANDLOCK,
    )
    log.write_bytes(b"serving on port 7001\x1b]0;owned\x07\x1b[2J" + b"x" * 1_000_000 + b"\n")
    assert member._probe()
    assert member.serves.startswith("port 7001]0;owned[2Jxxx")
    assert len(member.serves) <= 200
    assert member.serves.isprintable()
