"""A chaos run: everything real, everything failing, and four ledgers that must agree in the end.

schedule  what goes wrong, and when: from the seed     work      what producers ask for: from the seed
world     all that runs, and stops in the end          fleet     workers and producers as processes
server    a Valkey that can be killed and hung         asking    a producer as a process, by calls; arq_app
trouble   makes events happen                          journal   what a producer was told, on disk
hostile   what a foe does                              key_rings, key_stores   users' keys, rotated while in use
driver    a run from start to end                      collect   gathers the ledgers; leaks looks for secrets
evidence  the ledgers as values                        checks    judges them, with arrivals, reasons, verdict
show      the table, or data
"""
