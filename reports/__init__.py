"""Reports: pure functions from tidy tables to leaderboards, statistics and figures."""
