"""Where stored responses lie: memory in front of disk, bounded by plan."""
