"""A sqlglot dialect for ksqlDB: ``sqlglot.parse_one(text, read="ksqldb")``."""

from __future__ import annotations

from sqlglot.dialects.dialect import Dialect

from opensea_metrics.sql.language.dialect.generator import KsqlDBGenerator
from opensea_metrics.sql.language.dialect.lexical import KsqlDBTokenizer
from opensea_metrics.sql.language.dialect.parser import KsqlDBParser


class KsqlDB(Dialect):
    """ksqlDB 7.9. Names are upper-cased unless quoted, and array indexes start at 1."""

    # sqlglot keeps an index as the user wrote it.
    INDEX_OFFSET = 0

    Tokenizer = KsqlDBTokenizer
    Parser = KsqlDBParser
    Generator = KsqlDBGenerator
