"""Events and values as bytes: versioned msgpack, a closed set of classes, no pickle, no import by name."""
