"""Names that llama-index-workflows keeps in its module of this name, for code that imports them from there.

Nothing in this library imports by a name that was read.
"""

from __future__ import annotations

from importlib import import_module


def get_qualified_name(value: object) -> str:
    """Give ``module.Class`` of a value.

    Raises:
        AttributeError: it has no module.
    """
    try:
        return f"{value.__module__}.{value.__class__.__name__}"
    except AttributeError as error:
        raise AttributeError(f"Object {value} does not have required attributes: {error}") from error


def import_module_from_qualified_name(qualified_name: str) -> object:
    """Import what ``module.attribute`` names.

    Raises:
        ValueError: it is not of this form.
        ImportError: the module cannot be imported.
        AttributeError: the module has no such attribute.
    """
    module, dot, name = qualified_name.rpartition(".")
    if not dot:
        raise ValueError("Qualified name must be in format 'module.attribute'")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ImportError(f"Failed to import module {module}: {error}") from error
    except AttributeError as error:
        raise AttributeError(f"Attribute {name} not found in module {module}: {error}") from error
