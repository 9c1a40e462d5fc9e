"""The programs that are measured: what each is made of, and how it is run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ops.bench.peers.environments import python_of, versions_of
from ops.bench.peers.report import BARE, OURS, OURS_64, Program

PROGRAMS = Path(__file__).with_name("programs")
JOBS_AT_ONCE = 64
"""As many as the bare loop has connections."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A program in one set-up.

    Attributes:
        name: as in the report.
        title: as people read it.
        script: of `programs/`; its commands are those of `programs/protocol.py`.
        environment: the lock of its environment; "" for the project's own.
        variant: the script's set-up, if it has several.
        drain_at_once: the most jobs at once in the load `drain`: the number with which it was fastest, of 16, 32 and 64
            (`--at-once` tries others). It is 64 in the other loads. A set-up with the program's default ignores it.
        distributions: whose versions the report shows.
        set_up: how it is run.
    """

    name: str
    title: str
    script: str
    environment: str
    distributions: tuple[str, ...]
    set_up: str
    variant: str = ""
    drain_at_once: int = JOBS_AT_ONCE

    def make_environment(self) -> None:
        """Make the program's environment, if it needs one and there is none."""
        if self.environment:
            python_of(self.environment)

    def command(self, verb: str) -> list[str]:
        """Return the command line for a command of the protocol."""
        python = str(python_of(self.environment)) if self.environment else sys.executable
        return [python, str(PROGRAMS / self.script), verb]

    def program(self) -> Program:
        """Return it as the report describes it."""
        if self.environment:
            versions = versions_of(self.environment, self.distributions)
        else:
            versions = {distribution: version(distribution) for distribution in self.distributions}
        return Program(self.name, self.title, versions, self.script, self.set_up)


BARE_LOOP = Contender(
    BARE,
    "bare aiohttp loop",
    "",
    "",
    ("aiohttp", "msgspec"),
    "64 tasks of one process build, sign and post the requests and read the replies: no queue, no Redis.",
)
OURS_PLAIN = Contender(
    OURS,
    "this project",
    "copytrade_jobs.py",
    "",
    ("arq", "redis", "hiredis", "aiohttp"),
    "`python -m worker` with its settings as they come, among them 256 changes at once, but rate limits far out of "
    "reach, and a log of errors only, which the peers have, too; on asyncio's event loop; a caller waits by "
    "`Job.result`, which is notified.",
)
OURS_WITH_64 = Contender(
    OURS_64,
    "this project, 64 at once",
    "copytrade_jobs.py",
    "",
    OURS_PLAIN.distributions,
    f"As `this project`, but {JOBS_AT_ONCE} changes at once (`COPYTRADE_MAX_JOBS`).",
    variant="64",
)
ARQ = Contender(
    "arq",
    "arq",
    "arq_jobs.py",
    "arq",
    ("arq", "redis", "hiredis"),
    "As it comes: 10 jobs at once, a poll every 0.5 s that reads up to 100 jobs; on asyncio's event loop.",
)
ARQ_TUNED = Contender(
    "arq-tuned",
    "arq, tuned",
    "arq_jobs.py",
    "arq",
    ("arq", "redis", "hiredis"),
    "64 jobs at once, a poll every 0.05 s that reads up to 1,000 jobs; on asyncio's event loop.",
    variant="tuned",
)
SAQ = Contender(
    "saq",
    "saq",
    "saq_jobs.py",
    "saq",
    ("saq", "redis", "hiredis"),
    "64 jobs and calls of Redis at once; each slot waits in a BLMOVE of its own; on asyncio's event loop; a caller "
    "waits by `Job.refresh(1)`, which is notified, and by `Queue.apply` where it looks every 10 ms. Its worker starts "
    "less than a minute after another: a queue's first one, started on a full queue, takes jobs that it has just begun "
    "for stuck, and sends some twice.",
)

_TASKIQ = ("taskiq", "taskiq-redis", "redis", "hiredis")
_TASKIQ_SET_UP = (
    "Its Redis stream broker and result backend; `taskiq worker --workers 1 --max-async-tasks 64 --max-prefetch 64`, "
    "in drain 16 of both, the fastest of 16, 32 and 64; acknowledges when the result is saved."
)
TASKIQ = Contender(
    "taskiq",
    "taskiq",
    "taskiq_jobs.py",
    "taskiq",
    _TASKIQ,
    f"{_TASKIQ_SET_UP} On asyncio's event loop.",
    drain_at_once=16,
)
TASKIQ_UVLOOP = Contender(
    "taskiq-uvloop",
    "taskiq, uvloop",
    "taskiq_jobs.py",
    "taskiq-uvloop",
    (*_TASKIQ, "uvloop"),
    f"{_TASKIQ_SET_UP} On uvloop, the callers too.",
    drain_at_once=16,
)
STREAQ = Contender(
    "streaq",
    "streaq",
    "streaq_jobs.py",
    "streaq",
    ("streaq", "coredis", "uvloop"),
    "64 jobs at once, in drain 16, the fastest of 16, 32 and 64, as many prefetched; on uvloop and with "
    "coredis's `Config.optimized`, the callers too, as in its own benchmarks; a caller waits by `Task.result`, which "
    "is notified, and then takes 0.1 s to end its subscription.",
    drain_at_once=16,
)
DOCKET = Contender(
    "docket",
    "docket",
    "docket_jobs.py",
    "docket",
    ("pydocket", "redis", "hiredis"),
    "As its command comes: 10 jobs at once, a check every 0.1 s; on asyncio's event loop; a caller waits by "
    "`Execution.get_result`, which is notified.",
)
DOCKET_10MS = Contender(
    "docket-10ms",
    "docket, 10 ms",
    "docket_jobs.py",
    "docket",
    ("pydocket", "redis", "hiredis"),
    "64 jobs at once, a check every 10 ms; on asyncio's event loop.",
    variant="10ms",
)

PEERS = (ARQ, ARQ_TUNED, SAQ, TASKIQ, TASKIQ_UVLOOP, STREAQ, DOCKET, DOCKET_10MS)
"""In the order of a round, after ours."""
