"""Benchmarks of molecule design: suites with protocols, methods, runs, tables beside peers."""
