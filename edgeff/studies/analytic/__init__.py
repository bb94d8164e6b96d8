"""Published analytic tables, recomputed from the geometry of networks, each by its own conventions, before any program exists.

``geometry`` turns a network into counts by layer; each further module is one published table. Nothing here runs, lowers or plans: the exact
figures of edgeff's programs come from ``edgeff.program.cost``.
"""
