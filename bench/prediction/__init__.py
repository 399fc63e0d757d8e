"""Cases segmented with the networks of runs: one case, many, by one run or an ensemble."""
