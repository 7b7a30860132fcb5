"""What a request passes and how it is tried again: attempts, fallback, pace, breaker."""
