"""A long run under load with faults at random: what is lost, doubled or left wrong when it is quiet again.

`fleets` are the devices and what they were promised, `operators` whoever publishes, pauses and recalls, `faults` what
goes wrong and when, `verdicts` the comparison of devices, database and broker at the end.
"""
