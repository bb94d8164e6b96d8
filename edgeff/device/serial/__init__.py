"""Boards at the other end of a serial line, real or emulated, that speak MLPerf Tiny's protocol."""
