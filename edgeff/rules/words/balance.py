"""Which entry of a ring a new sample takes so that the ring holds as many of each class as it can, however unlike the classes come.

Class-balancing reservoir sampling (Chrysakis & Moens 2020). A full ring gives up an entry of the class that holds most, drawn; a sample of
that class itself takes the place of one of its own, so that each of the class so far is kept with the same chance. Difference from the
source: a class counts as large while it is the largest, not for ever after.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.arithmetic import draws
from edgeff.kernels.records import Key, Range
from edgeff.kernels.tensors import Label, OneI32
from edgeff.rules.words.ring import Count, Entries

Classes = Annotated[int, Range(1, 32_768)]


@kernel()
def eff_ring_balance(
    slot: OneI32,
    count: Count,
    tally: Annotated[Array, Out("uint32_t", "2", "classes", also_read=True)],
    labels: Annotated[Array, In("int32_t", "entries", low=0, high="classes - 1")],
    label: Label,
    entries: Entries,
    classes: Classes,
    key: Key,
) -> None:
    """slot = the entry that a sample of class ``label`` takes, -1 for none.

    ``tally`` counts the samples of each class that came, and then those that the ring holds, whose classes are ``labels``. count += 1.
    """
    seen, held = tally.reshape(2, classes)
    own, before = int(label[0]), int(count[0])
    drawn = int(draws(key, before))
    count[0] = min(before + 1, 0xFFFFFFFF)
    seen[own] = min(int(seen[own]) + 1, 0xFFFFFFFF)
    if before < entries:
        slot[0], held[own] = before, (int(held[own]) + 1) & 0xFFFFFFFF
        return
    victim = int(np.argmax(held))
    which = drawn * int(held[victim]) >> 32
    if held[own] >= held[victim]:
        victim, which = own, drawn * int(seen[own]) >> 32
    places = np.flatnonzero(labels == victim)
    slot[0] = places[which] if which < min(len(places), int(held[victim])) else -1
    if slot[0] >= 0 and victim != own:
        held[victim] -= 1
        held[own] = (int(held[own]) + 1) & 0xFFFFFFFF
