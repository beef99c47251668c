"""Draw workflows as graphs and Gantt charts, for the command line and for web pages.

Pure, beside ``reading``, which asks ``Calls``. Not for definitions as text (``workflows.drawing``).
"""
