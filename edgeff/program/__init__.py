"""Network + rule + numeric -> Program, and what follows from one: its results, its cost, its memory plan."""
