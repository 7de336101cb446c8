"""Corresponding cells as a table, and what they say about the two images."""

from __future__ import annotations

from auditor.questions.match.record import Match, Pair, RankedPair
from auditor.report.metric import metrics_of
from auditor.report.tables import Column, Entry, Table, columns_of
from auditor.report.text import left_out, plural, share, significant
from auditor.report.views import Rows, View


def view_match(match: Match) -> View:
    """The corresponding cell pairs of two images, best first, with their shares of the images' similarity."""
    of_cosine = metrics_of(Pair)["share"]
    columns = (
        *columns_of("Pair", "Cell in A|Cell in B|Cosine"),
        Column(of_cosine.title, True, of_cosine.definition),
    )
    rows = tuple(_row(match, rank, pair) for rank, pair in enumerate(match.pairs, start=1))
    table = Table(f"A: {match.a}   B: {match.b}", columns, rows, (_explain(match), *left_out(match.empty)))
    ranked = [_rank(rank, pair) for rank, pair in enumerate(match.pairs, start=1)]
    heading = f"Correspondence of {match.a} and {match.b}"
    return View(heading, (table,), rows=Rows(RankedPair, ranked))


VIEWS = {Match: view_match}


def _row(match: Match, rank: int, pair: Pair) -> tuple[Entry, ...]:
    return (
        Entry(str(rank)),
        Entry(f"{pair.a[0]},{pair.a[1]}"),
        Entry(f"{pair.b[0]},{pair.b[1]}"),
        Entry(f"{pair.cosine:.4f}"),
        Entry(significant(pair.share)),
    )


def _rank(rank: int, pair: Pair) -> RankedPair:
    return RankedPair(rank, *pair.a, *pair.b, pair.cosine, pair.share)


def _explain(match: Match) -> str:
    """What the listed pairs say about the similarity of the two images, in one or two sentences."""
    part = f" ({share(match.explained / match.cosine)} %)" if match.cosine else ""
    sentences = (
        f"The mean-pooled features have cosine {match.cosine:.4f}, the sum of the shares of all pairs; "
        f"the {plural(len(match.pairs), 'pair')} listed carry {significant(match.explained)} of it{part}."
    )
    if match.mutual is not None:
        mutual = plural(match.mutual, "pair")
        sentences += f" {mutual} of cells are each other's nearest; only such are listed."
    if not match.is_exact:
        sentences += (
            " The backbone does not pool by the mean, so the shares do not explain its own similarity."
        )
    return sentences
