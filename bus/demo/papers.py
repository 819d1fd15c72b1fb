"""Papers that a family used to carry from office to office, and the call that each of them became."""

from typing import Final

from vn.portal.v1 import portal_pb2 as pb

from bus.demo.birth import Told
from bus.demo.families import Family
from bus.demo.report import Report
from bus.demo.screen import Screen

__all__ = ["claim_papers"]

_ALL: Final = frozenset(pb.Paper.values()) - {pb.PAPER_UNSPECIFIED}


def claim_papers(
    told: Told, family: Family, whose: str, report: Report, screen: Screen, *, translated: bool = True
) -> None:
    """All that the contract knows, but for those that this family never needed. `translated`: the ward was an old one.

    Listed for the first birth only; counted for every one.
    """
    expected = set(_ALL)
    if not translated:
        expected.discard(pb.PAPER_WARD_CONFIRMATION)
    if not family.allowance:
        expected.discard(pb.PAPER_EMPLOYER_CONFIRMATION)
    if not report.papers:
        rows = [(paper.name.en, step.call.provider, paper.name.vi) for paper, step in told.papers]
        screen.table(("paper that nobody brings", "who was asked instead", "giấy tờ"), rows, title="Papers replaced")
    report.papers += [
        {
            "case": told.case_id,
            "paper": pb.Paper.Name(paper.paper),
            "name": paper.name.en,
            "provider": step.call.provider,
        }
        for paper, step in told.papers
    ]
    found = sorted(pb.Paper.Name(paper.paper) for paper, _ in told.papers)
    text = f"{len(found)} papers of the {whose}'s family replaced, {len(report.papers)} so far: what the contract lists"
    names = sorted(pb.Paper.Name(one) for one in expected)
    screen.claim(report.claim(f"papers-{whose}", text, names, found))
