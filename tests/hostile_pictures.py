"""Pictures as they come from cameras, scanners, archives and enemies: name -> bytes; GOOD are pictures, BAD none."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

RNG = np.random.default_rng(5)
BASE = Image.fromarray(RNG.integers(60, 200, (12, 16, 3), np.uint8).repeat(4, 0).repeat(4, 1))  # 64 x 48
SIXTEEN = Image.fromarray(np.array(BASE.convert("L")).astype(np.uint16) * 257)
KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tif": "TIFF", "ppm": "PPM"}


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is of this size, and is a few bytes long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(b"\0" * 99), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts.items())


def good() -> Iterator[tuple[str, bytes]]:
    for ending, kind in KINDS.items():
        yield f"plain.{ending}", saved(BASE, kind)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"exif{orientation}.jpg", saved(BASE, "JPEG", exif=exif, quality=95)
    modes = {mode: BASE.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")}
    modes |= {"I;16": SIXTEEN, "F": BASE.convert("L").convert("F"), "LAB": Image.merge("LAB", BASE.split())}
    ofs = {"png": "1 L LA P RGB RGBA I;16", "jpg": "CMYK YCbCr L", "tif": "CMYK LAB F I;16 RGBA"}
    for ending, names in ofs.items():
        for mode in names.split():
            yield f"mode {mode}.{ending}", saved(modes[mode], KINDS[ending])
    yield "transparent palette.png", saved(BASE.convert("P"), transparency=3)
    yield "transparent colour.png", saved(BASE, transparency=(9, 9, 9))
    frames = [BASE.rotate(90 * i) for i in range(4)]
    for ending in ("gif", "webp", "png", "tif"):
        yield f"animated.{ending}", saved(frames[0], KINDS[ending], save_all=True, append_images=frames[1:])
    yield "progressive.jpg", saved(BASE, "JPEG", progressive=True)
    yield "interlaced, wrong ending.jpg", saved(BASE, "PNG", interlace=1)
    yield "profile.jpg", saved(BASE, "JPEG", icc_profile=b"no profile at all")
    yield "comment.jpg", saved(BASE, "JPEG", comment=b"<script>alert(1)</script>" * 99)
    yield "bytes behind the end.png", saved(BASE) + b"PK\x03\x04" * 99
    for width, height in ((1, 1), (1, 50), (50, 1), (2, 3), (20_000, 4), (4, 20_000)):
        yield f"{width} x {height}.png", saved(BASE.resize((width, height)))


def bad() -> Iterator[tuple[str, bytes]]:
    yield "empty.jpg", b""
    yield "zeros.jpg", bytes(999)
    yield "text.jpg", b"not a picture"
    yield "svg.png", b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
    yield "postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "pdf.jpg", b"%PDF-1.4\n1 0 obj\n"
    yield "zip.jpg", b"PK\x03\x04" + bytes(99)
    yield "lfs.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    for ending, kind in KINDS.items():
        data = saved(BASE, kind)
        yield f"half.{ending}", data[: len(data) // 2]
        yield f"head.{ending}", data[:20]
    for name, size in {"zero wide": (0, 9), "bomb": (60_000, 60_000), "less data than said": (64, 48)}.items():
        yield f"{name}.png", png_of(*size)
    flipped = bytearray(saved(BASE))
    flipped[60] ^= 255
    yield "a bit wrong.png", bytes(flipped)


GOOD, BAD = dict(good()), dict(bad())
