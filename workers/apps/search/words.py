"""What the planner knows of English: words that say nothing, or little, or the same."""

from __future__ import annotations

_STOP = """
a about all an any and are as at be been but by can could did do does each every for from get gets give had
has have how i if in into is it its just make me my need of on one only or our out please python s shall
should so some t than that the their them then there these they this to up use used using want was way ways
we what when where which while who why will with without would you your
"""
_WEAK = """
add ask build call change check compute convert create declare define find first generate handle keep know
list look main make name new object open pass print program put read run safely save see select set several
show single start stop take tell two value wait work write
"""

STOP_WORDS = frozenset(_STOP.split())
"""Left out of every query, unless nothing else is left."""

WEAK_WORDS = frozenset(_WEAK.split())
"""Left out where only names and subjects are searched: many a name contains them."""

SYNONYMS = {
    "arguments": ("options",),
    "async": ("asyncio", "coroutine"),
    "asynchronous": ("asyncio", "coroutine"),
    "average": ("mean",),
    "base64": ("b64encode", "b64decode"),
    "browser": ("webbrowser",),
    "cache": ("lru_cache", "memoize"),
    "combinations": ("itertools",),
    "combine": ("merge", "join"),
    "compress": ("zip", "gzip", "zlib"),
    "config": ("configuration", "configparser", "ini"),
    "copy": ("duplicate", "copying"),
    "count": ("counter", "tally"),
    "date": ("datetime", "calendar"),
    "delete": ("remove", "unlink"),
    "dictionary": ("dict", "mapping"),
    "directory": ("folder", "path"),
    "download": ("urlopen", "retrieve"),
    "email": ("message", "smtp", "mail"),
    "encrypt": ("hash", "secrets"),
    "enumeration": ("enum",),
    "environment": ("environ",),
    "error": ("exception",),
    "exception": ("error",),
    "exit": ("atexit", "terminate"),
    "fetch": ("urlopen", "request"),
    "file": ("path",),
    "filename": ("path", "file"),
    "files": ("path", "file"),
    "folder": ("directory", "path"),
    "fraction": ("rational",),
    "hash": ("digest", "hashlib"),
    "heap": ("heapq", "queue"),
    "iterable": ("iterator", "sequence"),
    "list": ("sequence",),
    "lock": ("mutex", "threading"),
    "logging": ("logger", "log"),
    "measure": ("timeit", "timer"),
    "memoize": ("cache", "lru_cache"),
    "merge": ("combine", "join"),
    "parallel": ("multiprocessing", "concurrent", "executor"),
    "parse": ("parser", "parsing"),
    "password": ("getpass", "secrets"),
    "process": ("subprocess", "multiprocessing"),
    "profile": ("cProfile", "profiler"),
    "program": ("command", "subprocess"),
    "random": ("randint", "choice"),
    "regex": ("regular expression", "re"),
    "replace": ("sub", "substitute"),
    "round": ("rounding", "quantize"),
    "save": ("dump", "write"),
    "schedule": ("sched", "timer"),
    "search": ("find", "match"),
    "serialize": ("dump", "pickle", "json"),
    "shell": ("subprocess", "command"),
    "sleep": ("delay", "suspend"),
    "sort": ("sorted", "ordering"),
    "speed": ("timeit", "performance"),
    "split": ("partition", "separate"),
    "statistics": ("mean", "median"),
    "string": ("str", "text"),
    "temporary": ("tempfile", "temp"),
    "test": ("unittest", "testing"),
    "thread": ("threading",),
    "threads": ("threading",),
    "time": ("clock", "seconds"),
    "timezone": ("zoneinfo", "tzinfo"),
    "type": ("typing",),
    "unique": ("uuid", "set"),
    "unpack": ("unpacking", "extract"),
    "url": ("urllib", "urlparse"),
    "website": ("http", "server"),
    "xml": ("etree", "sax"),
    "zip": ("zipfile", "archive"),
}
"""Words that mean much the same in documentation. Single words of a question are looked up as they stand."""
