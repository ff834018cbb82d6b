#!/bin/sh
# The process is replaced, so that signals reach the worker itself.
exec broker-wf "$@"
