"""Tests of the exchange double: that it is as strict as the exchange, and honest about what it saw."""
