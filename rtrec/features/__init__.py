"""What the ranker can look at beyond the stream: historical features, the catalogue, content."""
