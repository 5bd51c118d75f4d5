"""Samplers: pure functions that know a target and no astronomy."""
