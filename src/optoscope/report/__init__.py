"""Reports: from results to a page that one can read without a network."""
