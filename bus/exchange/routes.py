"""Which provider a call goes to and which grant it names, from the configuration and the client's own snapshot.

The first grant that fits method and purpose (and provider or grant, where the caller names one) is taken: first those
of the configuration in their order, then the snapshot's. Choosing is not permitting: gate and provider decide.
"""

from collections.abc import Iterable, Iterator

from bus.exchange.config import GrantChoice
from bus.exchange.trust import SnapshotView

__all__ = ["Routes"]


class Routes:
    """The grants of one client under one snapshot."""

    def __init__(self, client: str, configured: Iterable[GrantChoice], view: SnapshotView) -> None:
        self.version = view.version
        self._choices = tuple(configured)
        self._found: dict[tuple[str, str], tuple[tuple[int, int, GrantChoice], ...]] = {}
        self._snapshot = tuple(
            (
                grant.not_before_ms,
                grant.not_after_ms,
                GrantChoice(grant.grant_id, grant.provider, frozenset(grant.methods), frozenset(grant.purposes)),
            )
            for grant in view.grants_of(client)
        )

    def choose(
        self, method: str, purpose: str, provider: str | None, grant_id: str | None, now_ms: int
    ) -> tuple[str, str] | None:
        """(provider, grant id), or None when nothing fits."""
        for not_before_ms, not_after_ms, choice in self._fitting(method, purpose):
            if (
                not_before_ms <= now_ms <= not_after_ms
                and provider in (None, choice.provider)
                and grant_id in (None, choice.grant_id)
            ):
                return choice.provider, choice.grant_id
        # Told both, there is nothing to choose; whether they fit is the gate's answer, with its reason.
        return (provider, grant_id) if provider and grant_id else None

    def _fitting(self, method: str, purpose: str) -> tuple[tuple[int, int, GrantChoice], ...]:
        found = self._found.get((method, purpose))
        if found is None:
            if len(self._found) > 4096:  # a caller that makes up purposes must not fill the memory
                self._found.clear()
            found = self._found[method, purpose] = tuple(self._all(method, purpose))
        return found

    def _all(self, method: str, purpose: str) -> Iterator[tuple[int, int, GrantChoice]]:
        always = ((0, 1 << 62, choice) for choice in self._choices)
        for entry in (*always, *self._snapshot):
            if method in entry[2].methods and purpose in entry[2].purposes:
                yield entry
