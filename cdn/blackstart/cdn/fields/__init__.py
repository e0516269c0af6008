"""Single header fields, parsed as their RFCs say; pure functions that never raise for bad input."""
