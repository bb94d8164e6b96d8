"""One epoch of PEPITA or Forward-Forward in PyTorch for every line that comes in; the seconds go out. Run by ``host_speed_rules.py``.

The same algorithm as edgeff's, batch by batch: hand-written directions without autograd (which only costs here), torch.optim.SGD with
momentum, dropout masks and negatives drawn afresh, Forward-Forward with the softmax head on a neutral label.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch  # type: ignore[import-not-found]  # not among the extras

SAMPLES, BATCH, CLASSES = 60_000, 64, 10


def uniform(rows: int, columns: int) -> torch.nn.Parameter:
    return torch.nn.Parameter((torch.rand(rows, columns) * 2 - 1) * (6 / columns) ** 0.5)


class Pepita:
    """784-1024-10, dropout .1."""

    def __init__(self) -> None:
        self.w1, self.w2 = uniform(1024, 784), uniform(CLASSES, 1024)
        self.f = torch.sign(torch.rand(784, CLASSES) - 0.5) * 0.05 * (2 / 784) ** 0.5
        self.optimiser = torch.optim.SGD([self.w1, self.w2], lr=0.01, momentum=0.9)

    def step(self, x: torch.Tensor, t: torch.Tensor) -> None:
        mask = (torch.rand(len(x), 1024) < 0.9).float() / 0.9
        h = torch.relu(x @ self.w1.T) * mask
        e = torch.softmax(h @ self.w2.T, 1) - t
        xm = x + e @ self.f.T
        hm = torch.relu(xm @ self.w1.T) * mask
        em = torch.softmax(hm @ self.w2.T, 1) - t
        self.w1.grad = ((h - hm) / len(x)).T @ xm
        self.w2.grad = (em / len(x)).T @ hm
        self.optimiser.step()


class ForwardForward:
    """794-500-500 with a softmax head on the last layer."""

    def __init__(self) -> None:
        self.hidden = [uniform(500, 784 + CLASSES), uniform(500, 500)]
        self.head = uniform(CLASSES, 500)
        self.optimiser = torch.optim.SGD([*self.hidden, self.head], lr=0.0025, momentum=0.9)

    @staticmethod
    def normalised(h: torch.Tensor) -> torch.Tensor:
        return h / (h.pow(2).mean(1, keepdim=True).sqrt() + 1e-4)

    def step(self, x: torch.Tensor, t: torch.Tensor) -> None:
        n, theta = len(x), 20.0
        labels = t.argmax(1)
        wrong = torch.nn.functional.one_hot((labels + torch.randint(1, CLASSES, (n,))) % CLASSES, CLASSES).float()
        sign = torch.ones(2 * n, 1)
        sign[n:] = -1
        h = torch.cat([torch.cat([t, x], 1), torch.cat([wrong, x], 1)])
        neutral = torch.cat([torch.full((n, CLASSES), 0.1), x], 1)
        for w in self.hidden:
            h, neutral = self.normalised(h), self.normalised(neutral)
            y = torch.relu(h @ w.T)
            slope = torch.sigmoid(sign * (theta - y.pow(2).mean(1, keepdim=True)))
            w.grad = (-sign * slope * y / n).T @ h
            h, neutral = y, torch.relu(neutral @ w.T)
        neutral = self.normalised(neutral)
        self.head.grad = (10.0 * (torch.softmax(neutral @ self.head.T, 1) - t) / n).T @ neutral
        self.optimiser.step()


@torch.no_grad()
def main(rule: str, cores: int) -> None:
    torch.set_num_threads(cores)
    torch.manual_seed(0)
    x = torch.rand(SAMPLES, 784)
    t = torch.nn.functional.one_hot(torch.randint(0, CLASSES, (SAMPLES,)), CLASSES).float()
    model: Any = {"pepita": Pepita, "ff": ForwardForward}[rule]()
    print(torch.__version__, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        order = torch.randperm(SAMPLES)
        for first in range(0, SAMPLES, BATCH):
            index = order[first : first + BATCH]
            model.step(x[index], t[index])
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
