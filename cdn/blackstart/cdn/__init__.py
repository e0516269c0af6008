"""The caching CDN node: knows HTTP and its origin's URL, and nothing else of the platform."""
