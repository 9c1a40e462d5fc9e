"""What a load of the peers' benchmark is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ops.bench.peers.contenders import Contender
from ops.bench.peers.report import Figure

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """A load, and how one program is measured in it.

    Attributes:
        name: by which it is asked for.
        title: as people read it.
        about: what is done and measured.
        figures: what is measured, in the order of the columns.
        contenders: the programs, in the order of a round.
        measure: measures one program once. Its second argument is the number of jobs; None for the load's own.
    """

    name: str
    title: str
    about: str
    figures: tuple[Figure, ...]
    contenders: tuple[Contender, ...]
    measure: Callable[[Contender, int | None], Coroutine[Any, Any, Figures]]
