from __future__ import annotations

from sqlglot import generator


class KsqlDBGenerator(generator.Generator):
    pass
