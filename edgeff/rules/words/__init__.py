"""The words shared by several rules, with their kernels: errors, feedback, goodness, competition, pairs, directions, the end of a step."""
