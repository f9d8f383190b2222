"""Interpolation, grids."""
from calls import C, M, N, V, X

MODES = {1: ("nearest", "nearest-exact", "area", "linear"), 2: ("nearest", "nearest-exact", "area", "bilinear", "bicubic"),
         3: ("nearest", "nearest-exact", "area", "trilinear")}
SIZES = {1: (5,), 2: (4, 3), 3: (3, 2, 4)}


def interpolation(c):
    for n in (1, 2, 3):
        x = X(1, 2, *SIZES[n])
        for mode in MODES[n]:
            corners = (None, False, True) if "linear" in mode or "cubic" in mode else (None,)
            for align in corners:
                kw = {"mode": mode} if align is None else {"mode": mode, "align_corners": align}
                for size in (3, 1, (7, 2, 3)[:n], (2, 5, 6)[:n]):
                    c.twins(lambda: c.f("interpolate", x, size, **kw), lambda: c.m(M("Upsample", size, **kw), x))
                for scale in (2, 1.5, 0.6, (2.0, 1.5, 0.7)[:n]):
                    c.twins(lambda: c.f("interpolate", x, scale_factor=scale, **kw),
                            lambda: c.m(M("Upsample", scale_factor=scale, **kw), x))
                    c.f("interpolate", x, scale_factor=scale, recompute_scale_factor=True, **kw)
                c.m(M("Upsample", scale_factor=1.3, recompute_scale_factor=True, **kw), x)
            if mode in ("bilinear", "bicubic"):
                for align in (False, True):
                    for size in ((2, 2), (3, 7), (8, 2)):
                        c.f("interpolate", x, size, mode=mode, align_corners=align, antialias=True)
                    for scale in (0.7, 1.7):
                        c.f("interpolate", x, scale_factor=scale, mode=mode, align_corners=align, antialias=True)
            for letter in "hb":
                c.f("interpolate", X(1, 2, *SIZES[n]), scale_factor=2, mode=mode, _dtype=letter)
            c.f("interpolate", X(0, 2, *SIZES[n]), 3, mode=mode)
    for size in ((2, 2), (3, 7), (6, 5)):
        c.f("interpolate", X(1, 2, 4, 3), size, mode="lanczos", antialias=True)
        c.m(M("Upsample", size, mode="lanczos"), C(1, 2, 4, 3), _err=True)
    c.f("interpolate", X(1, 2, 4, 3), scale_factor=0.7, mode="lanczos", align_corners=False, antialias=True)
    c.f("interpolate", C(1, 2, 4, 3), 3, mode="lanczos", _err=True)
    c.f("interpolate", C(1, 2, 4, 3), 3, mode="lanczos", align_corners=True, antialias=True, _err=True)
    for name in ("UpsamplingNearest2d", "UpsamplingBilinear2d"):
        c.m(M(name, 3), C(1, 2, 3), _err=name[10] == "B")
        c.m(M(name), C(1, 2, 3, 3), _err=True)
    image = V([(7 * i) % 251 for i in range(24)], "n", shape=(1, 2, 4, 3), dtype="uint8")
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        for align in (False, True) if mode[0] == "b" else (None,):
            for size in ((3, 5), (9, 2), (4, 3), (2, 2)):
                c.f("interpolate", image, size, mode=mode, align_corners=align)
                if mode[0] == "b":
                    c.f("interpolate", image, size, mode=mode, align_corners=align, antialias=True)
    x = C(1, 2, 4, 3)
    c.f("interpolate", x, _err=True)
    c.f("interpolate", x, 3, 2, _err=True)
    c.f("interpolate", x, (2, 3, 4), _err=True)
    c.f("interpolate", x, scale_factor=(2, 3, 4), _err=True)
    c.f("interpolate", x, 3, mode="linear", _err=True)
    c.f("interpolate", x, 3, mode="trilinear", _err=True)
    c.f("interpolate", x, 3, mode="cubic", _err=True)
    c.f("interpolate", x, 3, mode="nearest", align_corners=True, _err=True)
    c.f("interpolate", x, 3, mode="nearest", antialias=True, _err=True)
    c.f("interpolate", x, 3, recompute_scale_factor=True, _err=True)
    c.f("interpolate", x, 0, _err=True)
    c.f("interpolate", C(4, 3), 3, _err=True)
    c.f("upsample", X(1, 2, 3), 6)
    c.f("upsample", X(1, 2, 3), scale_factor=2, mode="linear", align_corners=True)
    c.f("upsample", X(1, 1, 3, 2), None, 2, "bilinear", False)
    for size in ({"size": (5, 4)}, {"size": 3}, {"scale_factor": 2}, {"scale_factor": (1.5, 2)}):
        c.f("upsample_nearest", X(1, 2, 3, 2), **size)
        c.f("upsample_bilinear", X(1, 2, 3, 2), **size)
        c.m(M("UpsamplingNearest2d", **size), X(1, 2, 3, 2))
        c.m(M("UpsamplingBilinear2d", **size), X(1, 2, 3, 2))
    c.f("upsample", C(1, 2, 3), _err=True)
    c.f("upsample_nearest", C(1, 2, 3, 2), _err=True)
    c.f("upsample_bilinear", C(1, 2, 3), 4, _err=True)


def grids(c):
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            for align in (None, False, True):
                kw = {"mode": mode, "padding_mode": padding, "align_corners": align}
                c.f("grid_sample", X(2, 2, 3, 4), X(2, 2, 3, 2, d=11), **kw)
                c.f("grid_sample", X(1, 1, 3, 2), X(1, 2, 2, 2, d=5), **kw)
                c.f("grid_sample", X(1, 2, 2, 3, 2), X(1, 2, 1, 2, 3, d=11), **kw)
                c.f("grid_sample", X(1, 1, 2, 2, 2), X(1, 1, 2, 2, 3, d=5), **kw)
    c.f("grid_sample", X(1, 1, 2, 2), X(1, 1, 3, 2))
    for letter in "hb":
        c.f("affine_grid", X(1, 2, 3), [1, 1, 2, 3], align_corners=False, _dtype=letter)
    c.f("grid_sample", X(0, 1, 2, 2), X(0, 1, 3, 2), align_corners=False)
    c.f("grid_sample", C(1, 1, 2, 2), C(1, 1, 3, 3), align_corners=False, _err=True)
    c.f("grid_sample", C(2, 1, 2, 2), C(1, 1, 3, 2), align_corners=False, _err=True)
    c.f("grid_sample", C(1, 1, 2, 2), C(1, 1, 3, 2), mode="cubic", align_corners=False, _err=True)
    c.f("grid_sample", C(1, 1, 2, 2), C(1, 1, 3, 2), padding_mode="mirror", align_corners=False, _err=True)
    c.f("grid_sample", C(1, 1, 2, 0), C(1, 1, 3, 2), align_corners=False, _err=True)
    c.f("grid_sample", C(1, 1, 2, 2), C(1, 1, 3, 2, dtype="h"), align_corners=False, _err=True)
    for align in (None, False, True):
        for rows in (1, 2):
            for size in ([2, 3], [1, 4], [1, 1], [5, 1]):
                c.f("affine_grid", X(rows, 2, 3), [rows, 2] + size, align_corners=align)
            for size in ([2, 3, 1], [1, 2, 2], [1, 1, 1]):
                c.f("affine_grid", X(rows, 3, 4), [rows, 1] + size, align_corners=align)
    c.f("affine_grid", C(1, 2, 4), [1, 1, 2, 2], align_corners=False, _err=True)
    c.f("affine_grid", C(1, 2, 3), [1, 1, 2, 2, 2], align_corners=False, _err=True)
    c.f("affine_grid", C(1, 2, 3), [1, 1, 0, 2], align_corners=False, _err=True)
    c.f("affine_grid", C(1, 2, 3), [1, 2], align_corners=False, _err=True)
    c.f("affine_grid", N(1, 2, 3), [1, 1, 2, 2], align_corners=False, _err=True)


def describe(c):
    interpolation(c)
    grids(c)
