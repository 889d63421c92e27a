"""CBRT and COSH give each bit that Java gives."""

from __future__ import annotations

import math

import pytest

from opensea_metrics.sql.language.lowering.rare.roots import cbrt, cosh

OF_A_JVM = [
    (-2.808555664947294e-66, -1.4108938659153392e-22, 1.0),
    (0.2, 0.5848035476425733, 1.020066755619076),
    (0.3726458110063971, 0.7196125815738079, 1.0702396561521133),
    (4.970155858240153, 1.7065669708188684, 72.02813948175927),
    (17.085589833915652, 2.57558957607069, 13156712.64120285),
    (27.411859729355932, 3.015177152582061, 401596041637.88556),
    (694.8290677659886, 8.85712266785614, 2.8800498246413984e301),
    (710.0, 8.921121404456347, 1.1169973830808557e308),
    (4.0053040989799906e301, 3.421462872630524e100, math.inf),
    (-1.5e-310, -5.3132928459130794e-104, 1.0),
]
"""Numbers with their cube roots and hyperbolic cosines, from Java 17."""


@pytest.mark.parametrize(("number", "root", "cosine"), OF_A_JVM)
def test_a_number(number: float, root: float, cosine: float) -> None:
    assert cbrt(number) == root
    assert cosh(number) == cosine


def test_numbers_that_are_not_finite() -> None:
    assert math.isnan(cbrt(math.nan))
    assert math.isnan(cosh(math.nan))
    assert (cbrt(-math.inf), cosh(-math.inf)) == (-math.inf, math.inf)
    assert math.copysign(1, cbrt(-0.0)) == -1
