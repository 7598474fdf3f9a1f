"""Shipped configurations: YAML instances of the typed models in dao_core."""
