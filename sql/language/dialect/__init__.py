"""A sqlglot dialect for ksqlDB: ``sqlglot.parse_one(text, read="ksqldb")``."""

from __future__ import annotations

from sqlglot.dialects.dialect import Dialect

from opensea_metrics.sql.language.dialect.generator import KsqlDBGenerator
from opensea_metrics.sql.language.dialect.parser import KsqlDBParser
from opensea_metrics.sql.language.dialect.tokenizer import KsqlDBTokenizer


class KsqlDB(Dialect):
    """ksqlDB 7.9: names upper-cased unless quoted, arrays counted from 1."""

    # sqlglot leaves an index as it is written.
    INDEX_OFFSET = 0

    Tokenizer = KsqlDBTokenizer
    Parser = KsqlDBParser
    Generator = KsqlDBGenerator
