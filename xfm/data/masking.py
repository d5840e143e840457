"""What is hidden from the model: spans of text tokens, blocks of image patches.

Pure functions of an explicit `numpy.random.Generator` (from `seeding.rng`), after measurements of the published code.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

import numpy as np

from ..model.batch import UNKNOWN

TRIES = 10  # at one block, before the remainder is filled uniformly
LEAST_ASPECT = 0.3  # of a block, height to width; the largest is its inverse


def block_mask(grid: int, hidden: int, smallest: int, rng: np.random.Generator) -> np.ndarray:
    """(grid * grid,) bool, row-major, exactly `hidden` True: BEiT's block-wise mask, centre-heavy as published.

    Blocks of `smallest` to all missing patches are laid until ten tries in a row fail; the remainder is uniform.
    The mask is one integer, a bit a patch: a block is a product, an overlap an `&`; about 20 microseconds a mask.
    Raises ValueError when `hidden` is not between 0 and the number of patches.
    """
    if not 0 <= hidden <= grid * grid:
        raise ValueError(f"hidden = {hidden}: must be from 0 to the {grid * grid} patches of a {grid} x {grid} grid")
    columns = [sum(1 << row * grid for row in range(height)) for height in range(grid)]
    log_aspect = math.log(LEAST_ASPECT)
    mask, missing = 0, hidden
    while missing:
        for area, aspect, top, left in rng.random((TRIES, 4)).tolist():
            area = smallest + area * (missing - smallest)  # runs backwards when fewer than `smallest` are missing
            aspect = math.exp(log_aspect * (1 - 2 * aspect))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height >= grid or width >= grid:
                continue
            top, left = int(top * (grid - height + 1)), int(left * (grid - width + 1))
            new = (((1 << width) - 1) * columns[height] << top * grid + left) & ~mask
            if 0 < new.bit_count() <= missing:
                mask, missing = mask | new, missing - new.bit_count()
                break
        else:
            break
    packed = np.frombuffer(mask.to_bytes(grid * grid // 8 + 1, "little"), np.uint8)
    flat = np.unpackbits(packed, count=grid * grid, bitorder="little").astype(bool)
    if missing:
        flat[rng.permutation(np.flatnonzero(~flat))[:missing]] = True
    return flat


def span_positions(
    length: int, share: float, most: int, span_share: float, rng: np.random.Generator, never: Container[int] = ()
) -> list[int]:
    """The positions to predict, in rising order, of a text of `length` tokens that counts its `<s>` and `</s>`.

    min(most, max(1, round(share * length))) of them, fewer only where the text has fewer candidates. Starts come in
    random order; a `span_share` of them grow to 2 or 3 tokens, cut at the text's end; an overshoot is shuffled and cut.
    `never` are positions that stay as they are. Deviation from the published code: there `</s>` is a candidate (hidden
    in every second caption); here neither `<s>` nor `</s>` is.
    """
    candidates = [p for p in range(1, length - 1) if p not in never]
    wanted = min(most, max(1, round(length * share)), len(candidates))
    chosen: set[int] = set()
    for i in rng.permutation(len(candidates)).tolist():
        if len(chosen) >= wanted:
            break
        start = candidates[i]
        if start in chosen:
            continue
        tokens = 2 + int(2 * rng.random()) if rng.random() < span_share else 1
        chosen.update(p for p in range(start, min(start + tokens, length - 1)) if p not in never)
    if len(chosen) > wanted:
        ordered = sorted(chosen)
        return sorted(ordered[i] for i in rng.permutation(len(ordered))[:wanted].tolist())
    return sorted(chosen)


def mask_tokens(
    ids: Sequence[int], vocabulary: int, share: float, most: int, span_share: float, rng: np.random.Generator
) -> tuple[list[int], list[int], list[int]]:
    """(masked ids, positions, labels) of one text, ids `<s> ... </s>`: 80 % of the positions become `<mask>` (the last
    of the vocabulary), 10 % a random word, 10 % stay; the labels are the original ids.

    At least one position is chosen wherever the text has a token that is not special. Deviations from the published
    code: special tokens are never hidden and never the random word.
    """
    mask_id = vocabulary - 1
    special = {p for p, token in enumerate(ids) if token <= UNKNOWN or token == mask_id}
    positions = span_positions(len(ids), share, most, span_share, rng, special)
    masked = list(ids)
    for p, (kind, word) in zip(positions, rng.random((len(positions), 2)).tolist(), strict=True):
        if kind < 0.8:
            masked[p] = mask_id
        elif kind < 0.9:
            masked[p] = UNKNOWN + 1 + int(word * (mask_id - UNKNOWN - 1))
    return masked, positions, [ids[p] for p in positions]
