"""An instance of a registered class on the wire: ``[class, payload]`` or ``[class, payload, extras]``."""

from __future__ import annotations

from msgpack import ExtType

TYPE = 13
"""Extension code of a class that is a value itself; its bytes are the wire's name of the class."""
BLOB = 14
"""Extension code of a part that travels apart; its bytes are its row in the envelope's table, from 0."""
FIELD = 15
"""Extension code of one field of an instance, as its own serializer writes it: packed wire's name of the class, name of
the field, what was written."""
CLASS = 64
"""Extension code of the first element of an instance; its bytes are the wire's name of the class."""

Fields = dict[str, object]
Extras = dict[int, object]

DYNAMIC = 0
"""Undeclared values of an event: dict by name."""
UNSET = 1
"""Names of the fields that were not given but took their default."""
RESULT = 2
"""Result of a StopEvent."""
ADDITIONAL = 3
"""Values of a model with ``extra="allow"``: dict by name."""
CUSTOM = 4
"""Fields that travel as their own serializer writes them: dict by name."""
WHOLE = "*"
"""Name among them, which no field can have, of all that somebody has given who has not the class: it is validated."""

Parts = tuple[object, Extras | None]
"""Payload (a dict is the fields by name) and what there is beside it."""


def class_tag(name: str) -> ExtType:
    """Make the first element for a class of this name."""
    return ExtType(CLASS, name.encode())
