"""What every HTTP service of ours shares: request ids, log lines, metrics, probes."""
