"""Every hostile picture is shown right, or refused by name; none ends a training or is quietly wrong."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hostile_pictures import BAD, BASE, GOOD
from photographs import photographs, table

from xfm.base.images import prepare
from xfm.config import ConfigError
from xfm.data.source import ItemKey
from xfm.files.file_source import FileSource

SIDE = 48
WANTED = prepare(BASE, SIDE).astype(int)


GREYS = ("L.png", "L.jpg", "LA.png", "1.png", "I;16.png", "I;16.tif", "F.tif")


@pytest.mark.parametrize("name", GOOD)
def test_a_strange_picture_is_shown_right(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(GOOD[name])
    image = prepare(tmp_path / name, SIDE)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
    if name.startswith("exif"):
        turn = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
                5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1),
                7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: np.rot90}[int(name[4])]  # fmt: skip
        assert np.abs(image.astype(int) - turn(WANTED)).mean() < 12
    elif name.startswith("mode") and name.split()[1] in GREYS:
        assert np.ptp(image.astype(int), axis=-1).max() <= 1  # grey
        if not name.startswith("mode 1"):
            assert np.abs(image.mean(-1) - WANTED @ [0.299, 0.587, 0.114]).mean() < 12
    elif "x" not in name.split(".")[0].split() and not name.startswith(("mode LAB", "mode 1")):
        far = 45 if ".gif" in name or "P" in name or "palette" in name or name == "mode YCbCr.jpg" else 12
        assert np.abs(image.astype(int) - WANTED).mean() < far, name


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_whole_picture_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(ConfigError, match=r"^image") as error, warnings.catch_warnings():
        warnings.simplefilter("error")  # a decoder that only warns would be quietly wrong
        prepare(tmp_path / name, SIDE)
    assert len(str(error.value)) < 600


def test_a_source_leaves_out_what_is_no_picture_and_counts_it(tmp_path: Path) -> None:
    names = photographs(tmp_path, 12)
    for name, content in (GOOD | BAD).items():
        (tmp_path / name).write_bytes(content)
        names.append(name)
    rows = [f'"{name}",what {i} shows' for i, name in enumerate(names)]
    source = FileSource(table(tmp_path, rows), SIDE, unreadable=0.9)
    with pytest.warns(UserWarning, match=r"\d+ of \d+ pictures cannot be used so far, the last: captions.csv:\d+: im"):
        shown = [source.pair(ItemKey("train", 0, step, i)) for step in range(12) for i in range(12)]
    bad = {f"what {names.index(name)} shows" for name in BAD}
    assert not {e.text for e in shown} & bad and len({e.text for e in shown}) > 30
    for example in shown[::9]:
        own = prepare(tmp_path / names[int(example.text.split()[1])], SIDE)
        assert np.array_equal(example.image, own)  # its own picture, not another's
    again = FileSource(table(tmp_path, rows), SIDE, unreadable=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        later = again.pair(ItemKey("train", 0, 11, 11))  # without what came before: a resume is exact
    assert later.text == shown[-1].text and np.array_equal(later.image, shown[-1].image)
