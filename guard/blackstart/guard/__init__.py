"""Reviewed and audited access to MongoDB, as a proxy that speaks its wire protocol."""
