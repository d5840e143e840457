"""Keyed randomness: every draw is a function of (seed, step, purpose), never of what was drawn before it.

So removing an objective leaves the others' batches, masks, negatives, dropout and initial weights identical (runs can
be paired; only the fusion encoder's dropout is drawn over the pairings of all objectives together), a resume is exact
without saved generator states, and loader processes agree.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def seed(*key: object) -> int:
    """A 63-bit seed of the key, e.g. `seed(run_seed, step, "negatives")`; the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(*key: object) -> torch.Generator:
    """torch's generator (on the CPU) of a key."""
    return torch.Generator().manual_seed(seed(*key))


def rng(*key: object) -> np.random.Generator:
    """numpy's generator of a key."""
    return np.random.Generator(np.random.PCG64(seed(*key)))
