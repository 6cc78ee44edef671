"""What molecules are rewarded for in the benchmarks: components for the section `[oracle]`."""
