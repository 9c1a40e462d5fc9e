"""The Celery example on a broker of files, which needs no server: `celery -A tests.support.celery_worker worker`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FOLDER = "CELERY_TEST_FOLDER"


def configuration(folder: Path) -> dict[str, Any]:
    """Return the settings of a Celery app whose broker and result backend are in a folder."""
    options = {f"data_folder_{way}": str(folder) for way in ("in", "out")}
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": options | {"control_folder": str(folder), "polling_interval": 0.02},
        "result_backend": f"file://{folder}",
    }


if FOLDER in os.environ:  # absent in the tests' own process, which only calls tasks
    from ops.examples.celery_app import app

    app.conf.update(configuration(Path(os.environ[FOLDER])))
