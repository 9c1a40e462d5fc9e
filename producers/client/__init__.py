"""The asyncio client: `Producer` and its handles. `python -m ops.unasync` generates `producers.sync` from it."""
