"""The guard's way between clients and MongoDB: logins, what passes, and its answers."""
