"""That members are apart: tried, not said. Behind its fence nobody opens what is another's, and everybody what is his;
with his own password nobody comes into another's database.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.demo.world import World
from bus.nation.behind import openable
from bus.nation.fence import landlock_version
from bus.nation.members import PROGRAMS
from bus.nation.places import DATABASE

__all__ = ["claim_apart"]

_AT_ONCE: Final = 3
_CONNECT_S: Final = 10
_PUBLIC: Final = "policy-key.pem"


def claim_apart(world: World, report: Report, screen: Screen) -> None:
    """Directories, keys, databases."""
    homes = {one.path: world.home(one.path) for one in PROGRAMS}
    modes = {oct(home.stat().st_mode & 0o777) for home in homes.values()}
    screen.claim(report.claim("homes-private", "each has a home of its own, mode 0700", {"0o700"}, modes))
    _claim_databases(homes, report, screen)
    if not landlock_version():
        screen.say(
            "this kernel has no Landlock: one user owns all these files, and only their modes and separate directories"
            " keep the members apart here; in production each has its own machine"
        )
        return
    secrets = _secrets(world)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = dict(zip(homes, pool.map(lambda home: openable(home, secrets), homes.values()), strict=True))
    wrong = [
        f"{path}: {Path(file).name}"
        for path, said in found.items()
        for file, how in said.items()
        if (how == "opened") != Path(file).is_relative_to(homes[path])
    ]
    text = f"none can open another's files: {len(homes)} members tried {len(secrets)} keys and passwords"
    screen.claim(report.claim("files-apart", text, [], wrong))


def _claim_databases(homes: Mapping[str, Path], report: Report, screen: Screen) -> None:
    """Each tries the next one's, with his own name and password."""
    places = [home / DATABASE for home in homes.values() if (home / DATABASE).exists()]
    known = [conninfo_to_dict(place.read_text("utf-8").strip()) for place in places]
    own = sum(_comes_in(one) for one in known)
    others = sum(
        _comes_in(one | {"dbname": other["dbname"]}) for one, other in zip(known, known[1:] + known[:1], strict=True)
    )
    names = {(one["dbname"], one["user"]) for one in known}
    text = f"{len(names)} databases with a role each on the ministries' own PostgreSQL; none comes into another's"
    expected = len([one for one in PROGRAMS if one.database])
    screen.claim(report.claim("databases-apart", text, (expected, expected, 0), (len(names), own, others)))


def _comes_in(parameters: Mapping[str, Any]) -> bool:
    try:
        psycopg.connect(make_conninfo("", **parameters), connect_timeout=_CONNECT_S).close()
    except psycopg.OperationalError:
        return False
    return True


def _secrets(world: World) -> list[Path]:
    """Every private key of the instance, every password of its databases and of the members'."""
    state = world.layout.state
    keys = [path for path in state.rglob("*key.pem") if path.name != _PUBLIC]
    passwords = [path for server in (state, state / "nation") for path in (server / "postgres" / "passwords").iterdir()]
    return sorted([*keys, *passwords, *state.glob(f"subsystems/*/{DATABASE}")])
