"""The virtual world: clock, fleet, platform, visitors and owners of one drill."""
