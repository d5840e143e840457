"""Image classification on user data, one folder per class as in ImageNet.

Published (X-FM, appendix): rate 4e-5, 100 epochs of 128 (linear evaluation: 256), ten of them warming up, cosine to
1e-7, Mixup and CutMix, the five-layer head (`--published`) also for what it calls linear evaluation. Here the loop is
every task's, and `--frozen model` trains one linear layer.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from ...base import seeding
from ...base.fields import one_of
from ...config import ConfigError
from ...data.source import Split
from ...files.readers.folders import picture_names
from ...files.readers.records import PICTURES, Root, Stored, Unusable
from ...files.splits import identities, split_by_content
from ..finetuning.task import Item
from .picture_tasks import Pictures

NAMES: dict[Split, tuple[str, ...]] = {"validation": ("val", "valid", "validation", "dev"), "test": ("test",)}
Found = list[tuple[Stored, str]]  # pictures with their classes


class Images(Pictures):
    """Which class a picture is of.

    DIR/train/CLASS/picture.jpg, and val/ and test/ like it. Where one of the two is missing, the other is the test (as
    ImageNet's val), and a tenth of train/ by the pictures' content is for validation. Without a train/ DIR itself has
    the classes, and a tenth each is for tests and validation.
    """

    name, title = "images", "class of a picture"
    embedded = False
    needs = frozenset()
    reads = "a folder with train/CLASS/picture.jpg and val/, test/ or both like it, or with CLASS/picture.jpg"

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted({label for _, label in self._main}))

    def read(self, split: Split) -> list[Item]:
        labelled = self._by_split[split]
        if not labelled:
            raise ConfigError(f"{self.path}: {len(self._main)} pictures are too few: none is left for {split}")
        order = seeding.rng("order", split).permutation(len(labelled)).tolist()  # they lie class by class
        return [Item((), (picture.path,), label) for picture, label in (labelled[i] for i in order)]

    @cached_property
    def _folders(self) -> dict[Split, Path]:
        """Of the splits beside train/ those that are there. ConfigError where one is there by several names, or without
        a train/."""
        folders = dict[Split, Path]()
        for split, names in NAMES.items():
            there = [name for name in names if Path(self.path, name).is_dir()]
            if len(there) > 1:
                both = " and ".join(f"{name}/" for name in there)
                raise ConfigError(f"{self.path}: has {both}, each of which is the {split} split; keep one of them")
            if there and not Path(self.path, "train").is_dir():
                raise ConfigError(f"{self.path}: has {there[0]}/ and no train/; --data takes {self.reads}")
            if there:
                folders[split] = Path(self.path, there[0])
        return folders

    @cached_property
    def _main(self) -> Found:
        """What training is drawn from."""
        train = Path(self.path, "train")
        labelled = pictures(train if self._folders or train.is_dir() else Path(self.path))
        if len({label for _, label in labelled}) < 2:
            raise ConfigError(f"{self.path}: has one class, {labelled[0][1]!r}; --data takes {self.reads}")
        return labelled

    @cached_property
    def _by_split(self) -> dict[Split, Found]:
        given: dict[Split, Found] = {split: pictures(folder) for split, folder in self._folders.items()}
        for split, labelled in given.items():
            for _, label in labelled:
                one_of(f"{self._folders[split]}: class (those of train/ are known)", label, self.labels)
        if len(given) == 2:
            given["train"] = self._main
            return given
        splits: dict[Split, Found] = {"train": [], "validation": [], "test": []}
        kinds = identities([picture for picture, _ in self._main])
        split_of = split_by_content(kinds)
        for kind, one in zip(kinds, self._main, strict=True):
            part = split_of[kind]
            splits["train" if given and part == "test" else part].append(one)
        for labelled in given.values():
            splits["test"] = labelled
        return splits


def pictures(folder: Path) -> Found:
    """The pictures of DIR/CLASS/... with their classes. ConfigError for a class without any, and a picture in none."""
    if not folder.is_dir():
        raise ConfigError(f"data = {str(folder)!r}: is no folder")
    classes = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if not classes:
        raise ConfigError(f"{folder}: has no folder of a class; put its pictures into {folder.name}/CLASS/")
    root, labelled = Root(folder), Found()
    for name in picture_names(folder):
        label, inside, _ = name.partition("/")
        if not inside:
            raise ConfigError(f"{folder / name}: lies in no class; move it into {folder.name}/CLASS/, or away")
        try:
            labelled.append((root.picture(name), label))
        except Unusable as error:
            raise ConfigError(f"{folder / name}: {error.what}") from None
    if empty := sorted(classes - {label for _, label in labelled}):
        kinds = ", ".join(sorted(PICTURES))
        raise ConfigError(f"{folder / empty[0]}: has no pictures ({kinds}); put some in, or take the folder away")
    return labelled
