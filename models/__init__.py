"""The networks, and the one way to apply them (`models.enhancer`)."""
