"""What a shared cache may and must do (RFC 9111), as pure functions of values and a time."""
