"""The functions in ksqlDB. Each has a Java class, generated from its hints, that calls CPython through Jep.

``java/`` is the runtime, which does not depend on this project. ``render`` writes the classes, and ``build`` packs
classes and runtime into jars. The classes call ``adaptor`` inside the server.
"""
