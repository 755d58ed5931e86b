"""How much harm bad releases do under different policies, and how long a good one takes: Otao beside its rivals.

Everything runs in virtual time, without a broker, a database or a network, and is the same again for the same seed.

    python -m bench.policies                 all releases under all policies, as a table; how often a gate stops falsely
    python -m bench.policies.checks          the model itself is what it says
"""
