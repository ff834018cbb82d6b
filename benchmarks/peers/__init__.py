"""Task queues and a durable runtime that the workloads are measured on too, each in an environment of its own."""
