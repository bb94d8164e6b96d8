"""Names for the tensors and nodes of a file, each given once.

Layers keep their names as they are; other tensors (weights, intermediates) are named after their layer, with a number appended if a
layer already has that name.
"""

from __future__ import annotations

from edgeff.ir import Network


class Names:
    """Hands out names; those of the layers and of the input are reserved from the start.

    >>> from edgeff.ir import Layer
    >>> from edgeff.ops.softmax import Softmax
    >>> names = Names(Network("n", (2,), (Layer("a", Softmax(), ("input",), (2,)), Layer("a.x", Softmax(), ("a",), (2,)))))
    >>> names.claim("a.x"), names.claim("a.y")
    ('a.x_1', 'a.y')
    """

    def __init__(self, network: Network) -> None:
        self._taken = {"input", *(layer.name for layer in network)}

    def claim(self, wish: str) -> str:
        """``wish``, or ``wish`` with the first number that makes it unique."""
        name, number = wish, 0
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        return name
