"""Tests in SQL: files of cases with statements, records and assertions, in the form of ksqlDB's ``run-ksql-test``.

docs/testing.md describes the files for users.
"""
