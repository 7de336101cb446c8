"""`audit pool`: cells pooled by other rules than the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.terminal.question import question

if TYPE_CHECKING:
    from auditor.questions.pool.record import Pooling
    from auditor.store import Index


@question()
def pool(
    index: Index,
    rules: Annotated[
        str, typer.Option(metavar="RULE,RULE", help="Which rules, and in which order.")
    ] = "mean,max,top5,lse,foreground,threshold",
    temperature: Annotated[float, typer.Option(help="Of lse, log-sum-exp.")] = 1.0,
    tau: Annotated[float, typer.Option(help="Of threshold: cells whose max softmax exceeds it.")] = 0.5,
) -> Pooling:
    """Pool the cells by other rules than the mean: accuracy, and which images change (section 6).

    Example: audit pool --rules mean,max,lse
    """
    from auditor.questions.pool import ask

    return ask.pool(index, rules=ask.parse_rules(rules), temperature=temperature, tau=tau)
