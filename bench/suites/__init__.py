"""Suites that come with lapbench, one TOML file each."""
