"""What the demo adds to the ledger: how each change had to end, and what the producer saw. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from ops.demo.scenario import Planned
from ops.exchange import Fault
from ops.ledger.evidence import Evidence as LedgerEvidence


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that the producer refused, and why."""

    planned: Planned
    reason: str


@dataclass(slots=True)
class Evidence(LedgerEvidence):
    """Everything that is known at the end.

    Attributes:
        faults: the scenario's faults.
        planned: the scenario's plan for each accepted change, by job ID.
        refused: the changes that the producer refused.
        waited_ms: how long each passer-by waited for its result, from the call to `enqueue`.
    """

    faults: list[Fault] = field(default_factory=list)
    planned: dict[str, Planned] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)
