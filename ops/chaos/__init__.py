"""The chaos run: real processes, faults of every kind, and independent records that must agree at the end.

schedule      the events and their times            workload          the changes that producers request
environment   the processes of a run                processes         workers and producers, restarted many times
server, valkey, cluster     what can be killed      lost          what replicas had not got
user_keys, key_stores       users' keys, rotated while in use
faults        carries events out                    interference      malformed data in Redis
producer_process, calls, arq_app   the producers    journal           what a producer requested and was answered
run           from start to end                     collect, leaks    collect the evidence
evidence      what is judged, beside ops.ledger     checks, report    the verdicts, as text or data
"""
