"""The demo: plays a scenario with faults on real processes, and checks the guarantees.

scenario  the changes, the faults, and how each change must end     run      plays it with real processes
evidence  what was seen                                             checks   which guarantees held
figures   numbers from the evidence                                 report   the output for people
"""
