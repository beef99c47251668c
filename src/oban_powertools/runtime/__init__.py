"""What runs beside Oban in a process: slots, acks, attempts, loops, heartbeats, rescue; and the worker's view."""
