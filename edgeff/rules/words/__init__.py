"""What several rules say, each word with its kernels: errors, feedback, goodness, competition, pairs, directions, the end of a step."""
