"""What the ranker looks at: the declared features, one list for kernel, explanation and documentation."""
