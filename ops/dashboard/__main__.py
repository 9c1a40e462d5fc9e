"""`python -m ops.dashboard`: the Grafana dashboard, or a picture of it.

python -m ops.dashboard json > ops/deploy/grafana/dashboard.json
python -m ops.dashboard picture ops/screenshots/dashboard.svg    # plays a run of two and a half minutes
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ops.dashboard.grafana import dashboard
from ops.dashboard.model import Panel
from ops.dashboard.panels import GROUPS
from ops.dashboard.picture import Answered, draw
from ops.dashboard.run import Stage, play, staged
from ops.stack import cancel_on_sigterm

TITLE = "The dashboard, of a run with faults: what Prometheus answers to its queries"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is asked for. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ops.dashboard", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("json", help="print the dashboard as Grafana imports it")
    commands.add_parser("picture", help="play a run, and draw it").add_argument("file", type=Path, metavar="FILE.svg")
    options = parser.parse_args(arguments)
    if options.command == "json":
        print(json.dumps(dashboard(), indent=2))
    else:
        options.file.write_text(asyncio.run(_picture()), encoding="utf-8")
    return 0


async def _picture() -> str:
    cancel_on_sigterm()
    async with staged() as stage:
        await play(stage, lambda text: print(f"{time.time() - stage.began_s:6.1f} s  {text}", file=sys.stderr))
        end_s = time.time()
        groups = {title: [await _answered(stage, panel, end_s) for panel in panels] for title, panels in GROUPS.items()}
    return draw(TITLE, groups, stage.events, stage.began_s, end_s)


async def _answered(stage: Stage, panel: Panel, end_s: float) -> Answered:
    answers = [await stage.prometheus.query(query.expression, stage.began_s, end_s) for query in panel.queries]
    for query, answer in zip(panel.queries, answers, strict=True):
        if not answer:
            print(f"no values: {query.expression}", file=sys.stderr)
    return Answered(panel, answers)


if __name__ == "__main__":
    sys.exit(main())
