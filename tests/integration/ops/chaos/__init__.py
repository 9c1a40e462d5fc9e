"""The parts of the chaos run that start processes or need a server."""
