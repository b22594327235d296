"""Where the experts of a mixture-of-experts model lie: traces of load, clusters, policies that place, the cost of a placement."""
