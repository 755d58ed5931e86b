"""Simulated devices, which act as endpoints: pure behaviour here, connections where it is driven.

May not enter: the orchestrator, its edge, or the MQTT library of that edge; a simulator that shares code with what it
tests shares its faults.

Layer: device_sim; beside the orchestrator, imports nothing of it.
"""
