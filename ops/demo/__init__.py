"""The demo: the whole way of a change on real parts, with faults on the way, judged by the guarantees.

scenario  the changes, the faults, and how each change must end     run      plays it with real processes
evidence  what was seen                                             checks   which guarantees held
figures   numbers from the evidence                                 report   the output for people
"""
