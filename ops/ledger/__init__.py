"""The checks that the demo and the chaos run share: evidence in, verdicts out. Only `collect` does I/O.

evidence        what was requested, accepted and answered, and what arrived at the exchange
collect         reads the exchange double's record, and Redis's counters
verdict         what a check returns; the one excuse for a late request
limits          requests in any sliding second of a user, in any minute of an address
order           the order of a lane's requests
outcomes        a result for every accepted change, and counters that agree with the results
causes          why each change may end as it did
final_settings  what the exchange holds at the end
"""
