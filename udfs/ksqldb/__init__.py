"""The functions in ksqlDB: a Java class for each, made from its hints, that calls CPython through Jep.

``java/`` is the runtime, which knows nothing of this project; ``render`` writes the classes,
``build`` makes jars of both, and ``adaptor`` is what the classes call inside the server.
"""
