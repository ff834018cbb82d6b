"""Task queues that the workloads are measured on too, each in an environment of its own."""
