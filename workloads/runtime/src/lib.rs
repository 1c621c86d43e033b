//! What every workload has: configuration, telemetry, health, shutdown, connections.
