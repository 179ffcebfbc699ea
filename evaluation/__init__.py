"""Metrics, the plate reader, and the report; used by evaluate.py and by validation inside train.py."""
