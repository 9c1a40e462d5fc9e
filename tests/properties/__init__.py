"""Property tests: hypothesis searches for examples that break a property.

By default every run makes the same examples, so that the checks can be repeated. `PROPERTY_RUNS=20` makes twenty times
as many, and other ones in every run:

    PROPERTY_RUNS=20 python -m pytest -o faulthandler_timeout=0 tests/properties

A failure prints the shortest example that was found: the steps, as Python.
"""
