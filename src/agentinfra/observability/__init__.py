"""What the rest can be seen by: logs, metrics, traces, probes, and the names they go by."""
