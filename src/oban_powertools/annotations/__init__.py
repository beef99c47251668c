"""Annotated types at the border of a worker: their values become JSON, and JSON becomes their values."""

from .codec import ANYTHING as ANYTHING
from .codec import Codec as Codec
from .codec import Placeholder as Placeholder
from .codecs import find_codec as find_codec
from .signatures import Border as Border
from .signatures import border_of as border_of
from .signatures import list_of as list_of
from .signatures import read_result as read_result
from .signatures import record_border as record_border
