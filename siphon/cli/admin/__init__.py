"""HTTP for machines and administrators: metrics, registrations, state. Served by one helper process, never a worker."""
