"""Arrays of the results of Python functions."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest

from opensea_metrics.udfs.arrow import array

VALUES: list[tuple[list[object], pa.DataType]] = [
    ([], pa.string()),
    ([None], pa.string()),
    (["a", None, "", "ü🎈", *"bcdefg"], pa.string()),
    ([], pa.float64()),
    ([None] * 9 + [-0.5], pa.float64()),
    ([1, 2.5, None], pa.float64()),
    ([True, None], pa.bool_()),
    ([["a", None], None, []], pa.list_(pa.string())),
]


@pytest.mark.parametrize(("values", "kind"), VALUES)
def test_values(values: list[object], kind: pa.DataType) -> None:
    result = array(iter(values), kind)
    result.validate(full=True)
    assert result.type == kind
    assert result.to_pylist() == values
    assert result.null_count == values.count(None)


def test_nan_is_no_null() -> None:
    result = array([float("nan"), None], pa.float64())
    assert str(result[0]) == "nan"
    assert result.null_count == 1


def test_arrays_of_texts_and_doubles_do_not_import_pandas() -> None:
    """pyarrow imports it for arrays that it makes of Python values, which takes 0.3 s of each command."""
    script = (
        "import sys, pyarrow as pa; from opensea_metrics.udfs.arrow import array;"
        "array(['a', None], pa.string()); array([1.5, None], pa.float64()); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
